/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A borrowed run of bytes: pointer and length, not NUL-terminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *p; /* borrowed; may be NULL only when n is 0 */
	size_t n;
};

#define SLICE(lit) ((struct slice){ (lit), sizeof(lit) - 1 })

static inline struct slice slice_of(const char *s)
{
	return (struct slice){ s, s ? strlen(s) : 0 };
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_is(struct slice a, const char *s)
{
	return slice_eq(a, slice_of(s));
}

/* Bytewise order, shorter first on a tie: the order of every canonical list in the store. */
int slice_cmp(struct slice a, struct slice b);
bool slice_starts(struct slice a, const char *prefix);
bool slice_ends(struct slice a, const char *suffix);
struct slice slice_trim(struct slice a); /* ASCII blanks off both ends */
/* Cut the part before the first sep off *rest into *ret; the whole rest when there is none.
 * false when *rest is exhausted (p == NULL). */
bool slice_cut(struct slice *rest, char sep, struct slice *ret);
