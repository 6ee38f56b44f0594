/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/arena.h"

#include <errno.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "lib/size.h"

#define PAGE_BYTES 4000
#define ALIGN	   _Alignof(max_align_t)

struct arena_page {
	struct arena_page *next; /* owned */
	size_t used, size;
	_Alignas(max_align_t) unsigned char data[];
};

static void *fail(struct arena *a, int err)
{
	if (!a->err)
		a->err = err;
	return NULL;
}

/* A page for n bytes. Big objects get a page of their own behind the current one, so that its rest
 * stays usable. */
static struct arena_page *page_add(struct arena *a, size_t n)
{
	size_t size = n > PAGE_BYTES / 4 ? n : PAGE_BYTES;
	struct arena_page *page;
	size_t bytes;

	if (!size_add(sizeof(*page), size, &bytes))
		return NULL;
	page = mem_realloc(NULL, bytes);
	if (!page)
		return NULL;
	page->used = 0;
	page->size = size;
	if (size == n && a->page) {
		page->next = a->page->next;
		a->page->next = page;
	} else {
		page->next = a->page;
		a->page = page;
	}
	return page;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct arena_page *page = a->page;
	size_t want, used;
	void *p;

	if (a->err)
		return NULL;
	if (!size_add(n ? n : 1, ALIGN - 1, &want))
		return fail(a, -ENOMEM);
	want &= ~(ALIGN - 1);
	if (!size_add(a->used, want, &used))
		return fail(a, -ENOMEM);
	if (a->limit && used > a->limit)
		return fail(a, -ERR_LIMIT);
	if (!page || page->size - page->used < want)
		page = page_add(a, want);
	if (!page)
		return fail(a, -ENOMEM);
	p = page->data + page->used;
	page->used += want;
	a->used = used;
	return memset(p, 0, want);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;

	if (!size_mul(count, size, &n))
		return fail(a, -ENOMEM);
	return arena_alloc(a, n);
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
	void *copy = arena_alloc(a, n);

	if (copy && n)
		memcpy(copy, p, n);
	return copy;
}

char *arena_strn(struct arena *a, const char *p, size_t n)
{
	size_t bytes;
	char *copy;

	if (!size_add(n, 1, &bytes))
		return fail(a, -ENOMEM);
	copy = arena_alloc(a, bytes);
	if (copy && n)
		memcpy(copy, p, n);
	return copy;
}

char *arena_str(struct arena *a, const char *s)
{
	return s ? arena_strn(a, s, strlen(s)) : NULL;
}

char *arena_slice(struct arena *a, struct slice s)
{
	return arena_strn(a, s.p, s.n);
}

char *arena_fmt(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return fail(a, -EINVAL);
	p = arena_alloc(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

int arena_err(const struct arena *a)
{
	return a->err;
}

void arena_done(struct arena *a)
{
	struct arena_page *page, *next;

	if (!a)
		return;
	for (page = a->page; page; page = next) {
		next = page->next;
		free(page);
	}
	*a = (struct arena)ARENA_INIT;
}
