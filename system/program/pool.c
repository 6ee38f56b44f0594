/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/program/pool.h"

#include <sys/mman.h>

#include "lib/size.h"

#define PIECE ((size_t)1 << 20)

static size_t class_of(size_t n)
{
	return (n + POOL_STEP - 1) / POOL_STEP - 1;
}

static void *take(struct pool *pool, size_t n)
{
	size_t class = class_of(n), size = (class + 1) * POOL_STEP;
	void *p = pool->free[class];

	if (p) {
		memcpy(&pool->free[class], p, sizeof(void *));
		return p;
	}
	if ((size_t)(pool->end - pool->p) < size) {
		char *piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (piece == MAP_FAILED)
			return NULL;
		pool->p = piece; /* what is left of the old piece is less than a block */
		pool->end = piece + PIECE;
	}
	p = pool->p;
	pool->p += size;
	return p;
}

static void give(struct pool *pool, void *p, size_t n)
{
	size_t class = class_of(n);

	memcpy(p, &pool->free[class], sizeof(void *));
	pool->free[class] = p;
}

static void release(struct pool *pool, void *p, size_t n)
{
	if (n > POOL_SMALL)
		free(p);
	else if (p)
		give(pool, p, n);
}

void *pool_resize(struct pool *pool, void *p, size_t old, size_t n)
{
	void *q;

	if (!p || old == 0)
		return n == 0 ? NULL : n > POOL_SMALL ? malloc(n) : take(pool, n);
	if (n == 0) {
		release(pool, p, old);
		return NULL;
	}
	if (old > POOL_SMALL && n > POOL_SMALL)
		return realloc(p, n);
	if (old <= POOL_SMALL && n <= POOL_SMALL && class_of(old) == class_of(n))
		return p;
	q = n > POOL_SMALL ? malloc(n) : take(pool, n);
	if (!q)
		return NULL;
	memcpy(q, p, MIN_OF(old, n));
	release(pool, p, old);
	return q;
}
