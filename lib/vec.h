/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Growing array of pointers (mostly strings), with sorting and set operations on strings. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct vec {
	void **v; /* owned array, borrowed elements */
	size_t n, cap;
	int err; /* 0 or -ENOMEM; sticky */
};

#define VEC_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0, 0                                                                      \
	}

void vec_add(struct vec *s, void *p);
void vec_sort_str(struct vec *s);		      /* bytewise */
void vec_uniq_str(struct vec *s);		      /* sorted input; drops repeats */
bool vec_has_str(const struct vec *s, const char *p); /* sorted input; binary search */
void vec_done(struct vec *s);

static inline void vec_cleanup(struct vec *s)
{
	vec_done(s);
}
#define auto_vec __attribute__((cleanup(vec_cleanup)))
