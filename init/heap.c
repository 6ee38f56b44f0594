/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/heap.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALIGN 16u
#define STEP  (64u << 10)

/* In front of what it holds. */
struct block {
	size_t size; /* with this */
	union {
		struct block *next; /* free: the next free one, at a higher address */
		uintptr_t seal;	    /* in use */
	};
};

_Static_assert(sizeof(struct block) == ALIGN, "what a block holds is aligned");

static struct block *first; /* free one */

static uintptr_t seal_of(const struct block *b)
{
	static uintptr_t secret;
	const void *random;

	if (!secret && (random = (const void *)getauxval(AT_RANDOM)))
		memcpy(&secret, random, sizeof(secret));
	return secret ^ (uintptr_t)b ^ b->size;
}

static struct block *end_of(struct block *b)
{
	return (struct block *)((char *)b + b->size);
}

static void give(struct block *b)
{
	struct block *before = NULL, *next = first;

	while (next && next < b) {
		before = next;
		next = next->next;
	}
	b->next = next;
	if (next && end_of(b) == next) {
		b->size += next->size;
		b->next = next->next;
	}
	if (!before) {
		first = b;
	} else if (end_of(before) == b) {
		before->size += b->size;
		before->next = b->next;
	} else {
		before->next = b;
	}
}

static struct block *take(size_t size)
{
	struct block **at = &first, *b;

	while (*at && (*at)->size < size)
		at = &(*at)->next;
	b = *at;
	if (!b)
		return NULL;
	*at = b->next;
	if (b->size > size) {
		struct block *rest = (struct block *)((char *)b + size);
		rest->size = b->size - size;
		rest->next = b->next;
		*at = rest;
		b->size = size;
	}
	return b;
}

/* The C libraries have no brk() for others. */
static uintptr_t move_end(uintptr_t to)
{
	return (uintptr_t)syscall(SYS_brk, to);
}

static bool grow(size_t size)
{
	uintptr_t end = move_end(0), begin = (end + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
	size_t n = (size + STEP - 1) & ~(size_t)(STEP - 1);

	if (begin + n < begin || move_end(begin + n) != begin + n)
		return false;
	struct block *b = (struct block *)begin;
	b->size = n;
	give(b);
	return true;
}

void *heap_alloc(size_t n)
{
	size_t size = (n + sizeof(struct block) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	struct block *b;

	if (n > SIZE_MAX / 2)
		return NULL;
	b = take(size);
	if (!b && grow(size))
		b = take(size);
	if (!b)
		return NULL;
	b->seal = seal_of(b);
	return b + 1;
}

static struct block *block_of(void *p)
{
	struct block *b = (struct block *)p - 1;

	if (b->seal != seal_of(b))
		__builtin_trap();
	return b;
}

void heap_free(void *p)
{
	if (p)
		give(block_of(p));
}

void *heap_realloc(void *p, size_t n)
{
	size_t old = p ? block_of(p)->size - sizeof(struct block) : 0;
	void *q;

	if (p && n <= old)
		return p;
	q = heap_alloc(n);
	if (q && p) {
		memcpy(q, p, old);
		heap_free(p);
	}
	return q;
}

void heap_trim(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	for (struct block *b = first; b; b = b->next) {
		uintptr_t from = ((uintptr_t)(b + 1) + page - 1) & ~(page - 1);
		uintptr_t to = (uintptr_t)end_of(b) & ~(page - 1);
		if (from < to)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
}
