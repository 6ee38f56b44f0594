/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which store item goes into which layer of a container image. What many items need changes seldom:
 * those come first, a layer each, so that images share them; the rest has the last one together.
 */
#pragma once

#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"
#include "store/store.h"

struct layers {
	const struct vec *closure; /* borrowed */
	size_t n;		   /* layers */
	size_t *of;		   /* layer of each item of closure; in the arena */
};

/* closure: as closure_parse() gives it; max: layers at most, 1 or more. Items are ordered by how
 * many others need them, directly or not, then by name without the hash, then by path. */
int layers_plan(struct arena *a, const struct vec *closure, size_t max, struct layers *ret,
		struct err *e);
/* Layer of an item of the closure. */
size_t layers_find(const struct layers *l, const struct store_info *item);
