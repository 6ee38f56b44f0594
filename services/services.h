/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Service sets as text: what changes from one to the next, without asking PID 1. The format is that
 * of doc/service-set.md; this reader only splits it into definitions and looks at the few keys that
 * decide what a live load does.
 */
#pragma once

#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"

enum svc_action { SVC_KEEP, SVC_LATER, SVC_START, SVC_STOP, SVC_RESTART, SVC_ACTION_MAX };
extern const char *const svc_action_names[SVC_ACTION_MAX];

struct svc_change {
	const char *name;
	enum svc_action action;
};

/* What a load of new does where old is loaded and everything enabled is up: vec of struct
 * svc_change in arena, sorted by name. old may be empty (everything starts). */
int svc_set_diff(struct arena *a, struct slice old, struct slice new, struct vec *ret,
		 struct err *e);
