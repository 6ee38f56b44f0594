/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a switch does to services: from PID 1 where it runs, else from the two sets alone. Both are
 * asked through the commands "cairn service load" and "compare" (doc/service-set.md), so that
 * neither module sees the other's headers.
 */
#pragma once

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"

enum live_action {
	LIVE_KEEP,
	LIVE_LATER,
	LIVE_RELOAD,
	LIVE_START,
	LIVE_STOP,
	LIVE_RESTART,
	LIVE_ACTION_MAX
};
extern const char *const live_action_names[LIVE_ACTION_MAX];

struct live_change {
	const char *name;
	enum live_action action;
};

/* Vecs of struct live_change, in arena, sorted by name. */

/* Is Cairn's PID 1 running here? */
bool live_is_running(void);
/* Have PID 1 load the set in file, and wait until services have settled; dry: only ask.
 * -ERR_INVALID: it cannot read the set. */
int live_load(struct arena *a, const char *file, bool dry, struct vec *ret, struct err *e);
/* Wait until PID 1 has answered a question. */
int live_answers(struct err *e);
/* Did PID 1 crash since the machine started, and go on? As far back as the kernel's log reaches; in
 * a container nobody can tell: false. */
bool live_has_crashed(void);
/* Names of the services that run with an older definition than the loaded set has: strings in
 * arena. */
int live_stale(struct arena *a, struct vec *ret, struct err *e);
/* Is the program another one than PID 1 executes, and can it be executed? */
bool live_is_other_init(const char *program);
/* Have PID 1 execute it, and go on with all services as they are. */
int live_renew(const char *program, struct err *e);
/* What loading new does where old (NULL: nothing) is loaded and everything is up, as a cairn
 * program (NULL: this one) says. -ERR_INVALID: it cannot read a set. */
int live_compare(struct arena *a, const char *program, const char *old, const char *new,
		 struct vec *ret, struct err *e);
