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
};

extern struct world world;

/* Set up loop, sockets, logger; may fail, the caller is still in the phase that may exit. */
int world_init(struct svc_set *set, const char *run_dir, struct err *e);
/* From here on nothing exits before the end of the shutdown. */
void world_run(void);

/* Requests of the control socket. */
int world_read_set(const char *path, struct svc_set **ret, struct err *e);
int world_load(const char *path, struct svc_set *next); /* owns next */
