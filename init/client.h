/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What commands of this module ask of PID 1 besides init.h. */
#pragma once

#include "init/init.h"
#include "init/limits.h"
#include "init/set.h"

/* A connection was lost: does PID 1 answer again soon, because it executed itself? */
bool client_comes_back(void);

/* The set in force, with what was added and overridden; *ret is the caller's (svc_set_free), path
 * is that of its file. */
int client_set(struct svc_set **ret, char path[LIMIT_PATH], struct err *e);

/* Something happened to a service, or, with an empty name, to the whole: "booted", "loaded",
 * "load-failed", "shutdown", "re-exec". Strings live during the callback. */
struct client_event {
	uint64_t boottime, realtime; /* ns of CLOCK_BOOTTIME, CLOCK_REALTIME */
	const char *name, *old, *now, *why;
};
/* Non-zero ends the walk with that code. */
typedef int client_event_fn(void *arg, const struct client_event *ev);

/* Everything from here on is told. *ret is the caller's. */
int client_watch_open(int *ret, struct err *e);
/* Wait at most timeout ms (-1: without end) for events. 0, a code of fn, -ETIMEDOUT; -ECONNRESET:
 * the connection is gone, because PID 1 is, or because we read too slowly. */
int client_watch_next(int fd, int timeout, client_event_fn *fn, void *arg, struct err *e);
