/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The values of all secrets of a generation, for as long as they are looked for in what goes into
 * the store. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"
#include "system/root.h"

#define LIMIT_SECRETS 256

struct secret_values {
	struct arena a;
	const char *names[LIMIT_SECRETS]; /* in a */
	struct str v[LIMIT_SECRETS];
	size_t n;
};
#define SECRET_VALUES_INIT                                                                         \
	{                                                                                          \
		.a = ARENA_INIT                                                                    \
	}

/* Those that are kept for system, else those of the files. x is to be done with on failure, too. */
int secret_values_load(struct secret_values *x, const struct sys_root *r, const char *system,
		       struct err *e);
/* Nothing of the values is left in memory. */
void secret_values_done(struct secret_values *x);
/* The same of one text; s is empty then. */
void secret_wipe(struct str *s);
