/* SPDX-License-Identifier: GPL-3.0-or-later */
/* builtin:git-download: the tree of one commit, fetched by the program git in a helper. */
#pragma once

#include <limits.h>

#include "lib/arena.h"
#include "store/build/helper.h"
#include "store/store.h"

struct gitfetch {
	char program[PATH_MAX];
	const char *url, *commit; /* checked; in the arena given */
	bool recursive;		  /* with submodules */
	const char *name;	  /* of the tree, in the directory */
};

/* What the derivation asks for. -ERR_BUILD when it is not allowed. */
int gitfetch_read(struct arena *a, const struct drv *d, struct gitfetch *ret, struct err *e);
/* What the helper must see to run it, besides what all downloads do. */
void gitfetch_add_paths(const struct gitfetch *g, struct arena *a,
			const char *paths[HELPER_PATHS_MAX]);
/* Make the tree, in the helper, whose directory it is. */
int gitfetch_run(const struct gitfetch *g, struct err *e);
