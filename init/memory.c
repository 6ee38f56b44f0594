/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In the program cairn-init these take the place of the C library's: half a kilobyte for nine, and
 * no page of memory for each size. The sanitizers bring their own. */
#include <stdlib.h>
#include <string.h>

#include "init/heap.h"
#include "lib/size.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)

void *malloc(size_t n)
{
	return heap_alloc(n);
}

void *calloc(size_t count, size_t size)
{
	size_t n;
	void *p = size_mul(count, size, &n) ? heap_alloc(n) : NULL;

	return p ? memset(p, 0, n) : NULL;
}

void *realloc(void *p, size_t n)
{
	return heap_realloc(p, n);
}

void free(void *p)
{
	heap_free(p);
}

#endif
