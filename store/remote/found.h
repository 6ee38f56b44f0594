/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a daemon says while it verifies a store, sorted: what is wrong, and what became of it. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "lib/tab.h"
#include "lib/vec.h"

struct found_fault {
	const char *path;
	const char *why;	  /* as the daemon says it, after the path */
	const char *not_repaired; /* why it could not be; NULL: nothing was said */
};

struct found {
	struct arena arena;
	struct vec faults;	      /* struct found_fault *, in arena */
	struct tab by_path;	      /* the last of them of each path */
	struct vec repaired, removed; /* paths, in arena; removed: from the database */
};
#define FOUND_INIT                                                                                 \
	{                                                                                          \
		ARENA_INIT, VEC_INIT, TAB_INIT, VEC_INIT, VEC_INIT                                 \
	}
void found_done(struct found *f);

/* Takes a line of this store's daemon, or of those of Guix and Nix. false: it is no finding, but a
 * remark, such as that a cache does not answer. A failure of memory shows in found_json(). */
bool found_line(struct found *f, struct slice line);

/* "faults":[…],"repaired":[…],"removed":[…] */
int found_json(const struct found *f, struct str *out, struct err *e);
