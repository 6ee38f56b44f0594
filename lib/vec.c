/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/vec.h"

#include <errno.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/size.h"

void vec_add(struct vec *s, void *p)
{
	if (s->err)
		return;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 8, bytes;
		void **v = size_mul(cap, sizeof(*v), &bytes) ? mem_realloc(s->v, bytes) : NULL;

		if (!v) {
			s->err = -ENOMEM;
			return;
		}
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = p;
}

static int cmp_str(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void vec_sort_str(struct vec *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), cmp_str);
}

void vec_uniq_str(struct vec *s)
{
	size_t out = 0;

	for (size_t i = 0; i < s->n; i++)
		if (out == 0 || strcmp(s->v[out - 1], s->v[i]) != 0)
			s->v[out++] = s->v[i];
	s->n = out;
}

bool vec_has_str(const struct vec *s, const char *p)
{
	return s->n && bsearch(&p, s->v, s->n, sizeof(*s->v), cmp_str);
}

void vec_done(struct vec *s)
{
	if (!s)
		return;
	free(s->v);
	*s = (struct vec)VEC_INIT;
}
