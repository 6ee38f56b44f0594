/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The public side of init/: commands, and functions that talk to the running PID 1 over its control
 * socket (/run/cairn/init.sock, or CAIRN_INIT_SOCKET). Nothing here runs inside PID 1.
 *
 * Functions return 0 or a negative code with e filled; -ECONNREFUSED or -ENOENT: no cairn-init
 * runs here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cmd.h"
#include "lib/err.h"
#include "lib/slice.h"

extern const struct cmd init_cmd_service;
extern const struct cmd init_cmd_halt;
extern const struct cmd init_cmd_poweroff;
extern const struct cmd init_cmd_reboot;

/* A service as PID 1 sees it. Strings live during the callback. */
struct init_service {
	const char *name, *type, *state, *why, *status, *description;
	const char *log;     /* path, "" for none */
	const char *sandbox; /* "none", or what it is shut into */
	const char *id;	     /* identity of its definition, 32 hex digits */
	bool wanted;	     /* asked for by the set or by hand */
	bool barred;	     /* stopped by hand */
	bool stale;	     /* runs with an older definition */
	bool skipped;	     /* up without running: a condition did not hold */
	bool listening;	     /* waits for a connection */
	bool enabled, critical, masked;
	bool ended; /* exit_status is meaningful */
	int exit_status;
	uint64_t pid;	/* 0: none */
	uint64_t since; /* ns in this state */
	uint64_t restarts;
	uint64_t due; /* ns until it is tried again or runs next; 0: it does not wait for that */
	uint64_t started;      /* ns since it was started last; 0: never */
	uint64_t begun, ready; /* when it was first started, first up: ms since the kernel's start;
				  0: never */
	uint64_t last_run;     /* of a timed one: seconds since 1970; 0: never */
	const char *runs;      /* identity of the definition that it was started with last */
};
/* Non-zero ends the walk with that code. */
typedef int init_service_fn(void *arg, const struct init_service *s);

struct init_info {
	char version[32];
	char set[3072]; /* path of the set, "" for none */
	bool booted;	/* everything was settled once */
	uint64_t services, failed;
	/* ns since the kernel's start: when PID 1 began, when all was settled first (0: not yet),
	 * and now. */
	uint64_t start, settled, now;
};

/* change: "start" "stop" "restart" "later" "keep" */
typedef int init_change_fn(void *arg, const char *name, const char *change);

enum init_action {
	INIT_START,
	INIT_STOP,
	INIT_RESTART,
	INIT_RELOAD,
	INIT_TRIGGER, /* run a timed one now; waits for the end of the run */
	INIT_ACTION_MAX
};

/* A cairn-init answers on the socket. */
bool init_client_running(void);
int init_client_info(struct init_info *ret, struct err *e);
int init_client_list(init_service_fn *fn, void *arg, struct err *e);
int init_client_status(const char *name, init_service_fn *fn, void *arg, struct err *e);
/* wait: return when the service has settled; -ECANCELED when it did not come up. */
int init_client_action(enum init_action what, const char *name, bool wait, struct err *e);
/* Load the set at set_path, which PID 1 must be able to read. fn (may be NULL) is called for each
 * service of both sets, those that stop first. dry_run: only tell. wait: return when all services
 * have settled. An error in the set changes nothing. */
int init_client_load(const char *set_path, bool dry_run, bool wait, init_change_fn *fn, void *arg,
		     struct err *e);
/* PID 1 executes path, NULL: its own binary, and goes on; returns when it does. */
int init_client_reexec(const char *path, struct err *e);
/* Run a custom action of a service; -ECANCELED when it failed. */
int init_client_custom(const char *name, const char *action, struct err *e);
/* Add the service of one section "[service NAME]\n…" to those that run. to_end: return when it has
 * ended, else when it is up or has failed (-ECANCELED). stdio: its descriptors 0, 1, 2; NULL: as it
 * says itself. */
int init_client_run(const char *section, bool to_end, const int stdio[3], struct err *e);
/* Have PID 1 read what the administrator overrides; path (3000 bytes) is that of the file. */
int init_client_override(char *path, struct err *e);
int init_client_shutdown(const char *kind, struct err *e); /* reboot poweroff halt */

/* Without PID 1: check a set, and compare two (what a load of the second would do when every
 * service runs). old_path NULL: everything is new. */
int init_set_check(const char *path, struct err *e);
/* The same of a text; errors are "NAME:LINE: …", or "NAME: …" of the whole. */
int init_set_check_text(struct slice text, const char *name, struct err *e);
int init_set_compare(const char *old_path, const char *new_path, init_change_fn *fn, void *arg,
		     struct err *e);
