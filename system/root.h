/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where a machine's files are: on the running system both prefixes are "", below a scratch
 * directory or a mounted disk they are that directory. The store may lie elsewhere than the rest
 * (a private root that is shared by several scratch machines).
 */
#pragma once

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"

struct sys_root {
	const char *target; /* "" or the directory that stands for "/" of the machine */
	const char *store;  /* "" or the directory in front of /gnu/store */
};

#define SYS_ROOT_MACHINE                                                                           \
	{                                                                                          \
		"", ""                                                                             \
	}

/* Physical form of a path of the machine, of a path in the store; in arena. */
char *sys_root_path(const struct sys_root *r, struct arena *a, const char *logical);
char *sys_root_store(const struct sys_root *r, struct arena *a, const char *logical);
/* Remove what writing a file or link of this directory left when the power was cut. Only for who
 * alone writes there; what cannot be removed stays. */
void sys_root_clean(const struct sys_root *r, const char *logical);
/* Is it the running system, where kernel state is changed too? */
bool sys_root_is_machine(const struct sys_root *r);
