/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a configuration asks for: it is evaluated, and its sketch (system/sketch.h) lies in a
 * directory of its own, so that it can be compared before anything is fetched or built. */
#pragma once

#include <limits.h>

#include "lib/err.h"
#include "system/eval.h"
#include "system/plan.h"
#include "system/root.h"

struct wanted {
	struct sys_eval *ev;
	const struct sys_eval_result *res; /* value: path of the generation */
	char dir[PATH_MAX];		   /* of the sketch; "": none */
};

#define WANTED_INIT                                                                                \
	{                                                                                          \
		NULL, NULL, ""                                                                     \
	}

/* Evaluate only. */
int wanted_eval(struct wanted *w, const struct sys_eval_opts *opts, const char *file,
		struct err *e);
/* The same, and make the sketch, where PID 1 of a machine can read it. */
int wanted_open(struct wanted *w, const struct sys_eval_opts *opts, const char *file, bool machine,
		struct err *e);
/* Nobody compares any more: the sketch goes, the rest stays. */
void wanted_drop_sketch(struct wanted *w);
void wanted_done(struct wanted *w);
#define auto_wanted __attribute__((cleanup(wanted_done)))

/* As the new side of a plan. */
struct plan_side wanted_side(const struct wanted *w);
/* For struct plan_sizer; arg is a struct wanted. */
bool wanted_refs(void *arg, const char *path, struct vec *ret);
