/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Arena: memory whose life is one request, one load, one transaction. Everything is freed at once.
 *
 * A failed allocation returns NULL and sets a sticky error; string helpers given NULL pass it on,
 * so one arena_err() at the end suffices for code that only builds data and does not read it back.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "lib/slice.h"

struct arena_page;

struct arena {
	struct arena_page *page; /* owned; newest first */
	size_t limit;		 /* bytes in all; 0 = no limit */
	size_t used;
	int err; /* 0, -ENOMEM or -ERR_LIMIT; sticky */
};

#define ARENA_INIT                                                                                 \
	{                                                                                          \
		NULL, 0, 0, 0                                                                      \
	}

/* Zeroed memory aligned for any type. n of 0 gives a valid unique pointer. */
void *arena_alloc(struct arena *a, size_t n);
/* Array of count elements of size bytes with overflow check. */
void *arena_array(struct arena *a, size_t count, size_t size);
char *arena_str(struct arena *a, const char *s);
char *arena_strn(struct arena *a, const char *p, size_t n); /* NUL appended */
char *arena_slice(struct arena *a, struct slice s);
char *arena_fmt(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *arena_dup(struct arena *a, const void *p, size_t n);
int arena_err(const struct arena *a);
void arena_done(struct arena *a); /* back to ARENA_INIT; NULL allowed */

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))

static inline void arena_cleanup(struct arena *a)
{
	arena_done(a);
}
#define auto_arena __attribute__((cleanup(arena_cleanup)))
