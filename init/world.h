/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * PID 1's outside: what the state machine's decisions do, and the one loop that feeds it. A turn is
 * collect (handlers note what happened), decide and act (svc_settle), answer (control_turn).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "init/shutdown.h"
#include "init/svc.h"
#include "lib/err.h"
#include "lib/loop.h"

struct world {
	struct svc_mgr mgr;
	struct loop *loop;
	const char *run_dir;
	const char *set_path; /* of the last set loaded; in set_buf */
	char set_buf[LIMIT_PATH + 1];
	char next_path[LIMIT_PATH + 1]; /* of the set whose load is under way */
	int exe;			/* this binary */
	bool pid1;			/* owns its pid namespace: may kill everything */
	bool booted;			/* everything was settled once */
	bool trial; /* a boot that counts: what cannot go on reboots, nobody is asked */
	enum shutdown shutdown;
	uint64_t start;
	uint64_t settled; /* when everything was settled first; 0: not yet */
	bool reexec;	  /* at the end of this turn */
	int next_exe;	  /* owned; of it; -1: this binary again */
	int reexec_error; /* why the last one did not happen; 0 */
};

extern struct world world;

/* Set up loop, sockets, logger; may fail, the caller is still in the phase that may exit. */
int world_init(struct svc_set *set, const char *run_dir, struct err *e);
/* From here on nothing exits before the end of the shutdown. */
void world_run(void);

/* Keep what world and manager know of the whole (state.h). */
void world_commit(void);
/* Step of struct svc_ops. */
void world_switching(bool done);
/* Fill world from a life before; the two sets that it had, next NULL: no load was under way. Owned
 * by the caller. -errno: there is nothing to be trusted. */
int world_recall(struct svc_set **ret_set, struct svc_set **ret_next, bool *ret_switching);

/* Requests of the control socket. */
/* Execute path, "": the same again, when the turn is over. */
int world_reexec(const char *path, struct err *e);
int world_read_set(const char *path, struct svc_set **ret, struct err *e);
/* Parse a text with what the administrator overrides, and keep a copy of it. */
int world_parse(struct slice text, const char *path, struct svc_set **ret, struct err *e);
/* Read the overrides again; path is that of their file, also when it was refused (-EBUSY: during a
 * load). */
int world_override(char path[LIMIT_PATH]);
int world_load(const char *path, struct svc_set *next); /* owns next */
