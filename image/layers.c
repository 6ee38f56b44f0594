/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/layers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct node {
	const struct store_info *item;
	size_t index;  /* in the closure */
	size_t users;  /* items that need this one */
	size_t *needs; /* its references, without itself */
	size_t nneeds;
	size_t seen; /* round in which it was come to, from 1 */
};

static int path_order(const void *a, const void *b)
{
	const struct store_info *x = a, *const *y = b;

	return strcmp(x->path, (*y)->path);
}

static size_t find(const struct vec *closure, const char *path)
{
	struct store_info key = { .path = path };
	void **slot = bsearch(&key, closure->v, closure->n, sizeof(void *), path_order);

	return slot ? (size_t)(slot - closure->v) : closure->n;
}

static int link_nodes(struct arena *a, const struct vec *closure, struct node *nodes)
{
	for (size_t i = 0; i < closure->n; i++) {
		const struct store_info *item = closure->v[i];
		struct node *x = &nodes[i];

		*x = (struct node){ .item = item, .index = i };
		x->needs = arena_array(a, item->nrefs, sizeof(*x->needs));
		if (!x->needs)
			return -ENOMEM;
		for (size_t k = 0; k < item->nrefs; k++) {
			size_t to = find(closure, item->refs[k]);
			if (to < closure->n && to != i)
				x->needs[x->nneeds++] = to;
		}
	}
	return 0;
}

/* Add one user to all that the item needs, directly or not. */
static void count_from(struct node *nodes, size_t start, size_t *stack)
{
	size_t n = 0, round = start + 1;

	stack[n++] = start;
	nodes[start].seen = round;
	while (n > 0) {
		const struct node *x = &nodes[stack[--n]];

		for (size_t k = 0; k < x->nneeds; k++) {
			struct node *y = &nodes[x->needs[k]];
			if (y->seen == round)
				continue;
			y->seen = round;
			y->users++;
			stack[n++] = y->index;
		}
	}
}

/* The name is what stays when an item is built anew. */
static int popular_first(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	if (x->users != y->users)
		return x->users > y->users ? -1 : 1;
	struct slice p = store_path_name(STORE_DIR_DEFAULT, slice_of(x->item->path));
	struct slice q = store_path_name(STORE_DIR_DEFAULT, slice_of(y->item->path));
	int c = slice_cmp(p, q);
	return c ? c : strcmp(x->item->path, y->item->path);
}

int layers_plan(struct arena *a, const struct vec *closure, size_t max, struct layers *ret,
		struct err *e)
{
	struct node *nodes = arena_array(a, closure->n, sizeof(*nodes));
	size_t *stack = arena_array(a, closure->n, sizeof(*stack));
	size_t *of = arena_array(a, closure->n, sizeof(*of));

	if (!nodes || !stack || !of || link_nodes(a, closure, nodes) < 0)
		return err_num(e, -ENOMEM, "layers");
	for (size_t i = 0; i < closure->n; i++)
		count_from(nodes, i, stack);
	qsort(nodes, closure->n, sizeof(*nodes), popular_first);
	for (size_t i = 0; i < closure->n; i++)
		of[nodes[i].index] = i < max ? i : max - 1;
	*ret = (struct layers){ .closure = closure,
				.n = closure->n < max ? closure->n : max,
				.of = of };
	return 0;
}

size_t layers_find(const struct layers *l, const struct store_info *item)
{
	return l->of[find(l->closure, item->path)];
}
