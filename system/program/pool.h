/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory of one evaluation: small blocks by size class out of large pieces whose pages are taken at
 * once. An evaluation makes a hundred thousand small objects and ends; page faults and the C
 * library's allocator would be most of its time. Nothing is given back before the process ends.
 */
#pragma once

#include <stddef.h>

#define POOL_STEP  16
#define POOL_SMALL 512 /* larger blocks are malloc's */

struct pool {
	void *free[POOL_SMALL / POOL_STEP]; /* first free block of each class; they are chained */
	char *p, *end;			    /* rest of the newest piece */
};

/* As realloc(), with the old size; n of 0 frees. NULL: no memory, p is untouched. */
void *pool_resize(struct pool *pool, void *p, size_t old, size_t n);
