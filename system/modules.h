/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kernel modules of a kernel package: KERNEL/lib/modules/VERSION with its modules.dep. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/tab.h"
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

/* ---- The modules of a kernel one by one ------------------------------------------------------ */

struct module {
	const char *name;   /* with '_' */
	const char *file;   /* below lib/modules/VERSION */
	struct slice needs; /* files or names of what it needs, with blanks between */
	bool builtin;
	const char *from; /* the package that it is of; NULL: the kernel */
	unsigned round;	  /* of modules_order */
};

struct modules {
	struct arena *a; /* borrowed; owns all modules */
	const char *dir; /* KERNEL/lib/modules/VERSION */
	struct tab by_name;
	struct vec names;
	unsigned round;
};
#define MODULES_INIT(arena)                                                                        \
	{                                                                                          \
		.a = (arena), .by_name = TAB_INIT, .names = VEC_INIT                               \
	}

/* Read modules.dep and modules.builtin of a kernel. modules_done also after a failure. */
int modules_load(struct modules *x, const char *kernel, struct err *e);
void modules_done(struct modules *x);
/* Name of the module that a file is, "kernel/net/nf-tables.ko" -> "nf_tables"; NULL: no memory. */
char *modules_name(struct arena *a, struct slice file);
struct module *modules_find(struct modules *x, const char *name);
/* m (struct module *) after everything that it needs, in an order in which they can be loaded;
 * without what the kernel has in itself, or not at all. */
int modules_order(struct modules *x, struct module *m, struct vec *ret, struct err *e);
