/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kernel modules of a kernel package: KERNEL/lib/modules/VERSION with its modules.dep. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"

/* Paths (in arena) of the modules called names and of what they need, in an order in which they can
 * be loaded. '-' and '_' are the same in names. -ERR_NOTFOUND names a missing one and the nearest.
 * A module built into the kernel (modules.builtin) is silently satisfied. */
int modules_resolve(struct arena *a, const char *kernel, const char *const *names, struct vec *ret,
		    struct err *e);

/* The first of names that the kernel neither has as a file nor in itself: its index, or the number
 * of names when it has all; and the nearest name that there is (NULL: none), in arena. */
int modules_missing(struct arena *a, const char *kernel, const char *const *names, size_t *ret,
		    const char **ret_near, struct err *e);
