/* SPDX-License-Identifier: GPL-3.0-or-later */
/* lib/modules of a kernel with the modules of packages among its own. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"

struct module_file {
	const char *path;   /* VERSION/… */
	const char *target; /* of a link; NULL: a file */
	struct slice text;  /* of a file */
};

/* from: a kernel, then packages with lib/modules/VERSION/….ko, NULL at the end. ret: list of struct
 * module_file *, in arena: links to all modules and what else the kernel has there, and the lists
 * (modules.dep, .alias, .softdep) anew. Of what packages have only modules count. One of
 * a name that the kernel has, too, takes its place; no two packages may have the same one. All must
 * be made for the kernel's version, and have what they need. */
int module_tree(struct arena *a, const char *const *from, struct vec *ret, struct err *e);
