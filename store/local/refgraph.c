/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/refgraph.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/mem.h"
#include "lib/size.h"

/* ---- Loading ----------------------------------------------------------------------------------
 */

static int room(void **v, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 256;
	void *p;

	if (n < *cap)
		return 0;
	p = want > SIZE_MAX / size ? NULL : mem_realloc(*v, want * size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = want;
	return 0;
}

static int add_path(void *arg, const struct db_row *row)
{
	struct refgraph *g = arg;
	int r = room((void **)&g->nodes, g->n, &g->cap, sizeof(*g->nodes));

	if (r < 0)
		return r;
	g->nodes[g->n++] = (struct refgraph_node){ .id = row->id,
						   .path = arena_str(&g->a, row->path),
						   .deriver = arena_str(&g->a, row->deriver),
						   .nar_size = row->nar_size };
	return arena_err(&g->a);
}

static int node_cmp(const void *key, const void *node)
{
	int64_t id = *(const int64_t *)key, other = ((const struct refgraph_node *)node)->id;

	return (id > other) - (id < other);
}

static struct refgraph_node *by_id(struct refgraph *g, int64_t id)
{
	return g->n ? bsearch(&id, g->nodes, g->n, sizeof(*g->nodes), node_cmp) : NULL;
}

/* Rows come in the order of nodes, so the one they belong to is never before the last one's. */
static struct refgraph_node *next_node(struct refgraph *g, int64_t id)
{
	while (g->at < g->n && g->nodes[g->at].id < id)
		g->at++;
	return g->at < g->n && g->nodes[g->at].id == id ? &g->nodes[g->at] : NULL;
}

static int add_ref(void *arg, const struct db_row *row)
{
	struct refgraph *g = arg;
	struct refgraph_node *from = next_node(g, row->id), *to = by_id(g, row->other);
	int r = room((void **)&g->refs, g->nrefs, &g->refs_cap, sizeof(*g->refs));

	if (r < 0 || !from || !to || from == to)
		return r;
	if (!from->nrefs++)
		from->refs = g->nrefs;
	g->refs[g->nrefs++] = (size_t)(to - g->nodes);
	return 0;
}

static int add_output(void *arg, const struct db_row *row)
{
	struct refgraph *g = arg;
	struct refgraph_node *from = next_node(g, row->id), *to = refgraph_find(g, row->path);
	int r = room((void **)&g->outputs, g->noutputs, &g->outputs_cap, sizeof(*g->outputs));

	if (r < 0 || !from || !to)
		return r;
	if (!from->nouts++)
		from->outs = g->noutputs;
	g->outputs[g->noutputs++] = (size_t)(to - g->nodes);
	return 0;
}

static int index_paths(struct refgraph *g, struct err *e)
{
	for (size_t i = 0; i < g->n; i++) {
		void **slot = tab_put(&g->by_path, slice_of(g->nodes[i].path), NULL);

		if (!slot)
			return err_num(e, -ENOMEM, "graph of the store");
		*slot = &g->nodes[i];
	}
	return 0;
}

int refgraph_load(struct db *db, bool outputs, struct refgraph *ret, struct err *e)
{
	struct refgraph g = { .n = 0 };
	int r = db_each(db, DB_PATHS, add_path, &g, e);

	if (r == 0)
		r = index_paths(&g, e);
	if (r == 0)
		r = db_each(db, DB_REFS, add_ref, &g, e);
	g.at = 0;
	if (r == 0 && outputs)
		r = db_each(db, DB_OUTPUTS, add_output, &g, e);
	if (r == 0)
		*ret = g;
	else
		refgraph_done(&g);
	return r;
}

void refgraph_done(struct refgraph *g)
{
	tab_done(&g->by_path);
	arena_done(&g->a);
	free(g->nodes);
	free(g->refs);
	free(g->outputs);
	*g = (struct refgraph){ .n = 0 };
}

struct refgraph_node *refgraph_find(const struct refgraph *g, const char *path)
{
	return tab_find(&g->by_path, slice_of(path));
}

/* ---- Walking ----------------------------------------------------------------------------------
 */

static void push(struct vec *todo, struct refgraph_node *node)
{
	if (!node || node->marked)
		return;
	node->marked = true;
	vec_add(todo, node);
}

int refgraph_mark(struct refgraph *g, struct refgraph_node *node, bool derivers)
{
	auto_vec struct vec todo = VEC_INIT;

	push(&todo, node);
	while (todo.n && todo.err == 0) {
		node = todo.v[--todo.n];
		for (size_t i = 0; i < node->nrefs; i++)
			push(&todo, &g->nodes[g->refs[node->refs + i]]);
		for (size_t i = 0; i < node->nouts; i++)
			push(&todo, &g->nodes[g->outputs[node->outs + i]]);
		if (derivers && *node->deriver)
			push(&todo, refgraph_find(g, node->deriver));
	}
	return todo.err;
}

/* The stack has nodes to be looked at, and of those that were, the node with NULL above it: when
 * that comes up all that the node refers to is out. */
static void order_from(struct refgraph *g, struct refgraph_node *start, struct vec *todo,
		       struct vec *ret)
{
	vec_add(todo, start);
	while (todo->n && todo->err == 0) {
		struct refgraph_node *node = todo->v[todo->n - 1];

		if (!node) {
			todo->n -= 2;
			vec_add(ret, todo->v[todo->n]);
		} else if (node->seen) {
			todo->n--;
		} else {
			node->seen = true;
			vec_add(todo, NULL);
			for (size_t i = 0; i < node->nrefs; i++)
				if (!g->nodes[g->refs[node->refs + i]].marked)
					vec_add(todo, &g->nodes[g->refs[node->refs + i]]);
		}
	}
}

int refgraph_order(struct refgraph *g, struct vec *ret)
{
	auto_vec struct vec todo = VEC_INIT;

	for (size_t i = 0; i < g->n; i++)
		if (!g->nodes[i].marked && !g->nodes[i].seen)
			order_from(g, &g->nodes[i], &todo, ret);
	return todo.err < 0 ? todo.err : ret->err;
}

void refgraph_choose_referrers(struct refgraph *g, const struct vec *order)
{
	for (size_t i = 0; i < order->n; i++) {
		struct refgraph_node *node = order->v[i];

		for (size_t k = 0; !node->chosen && k < node->nrefs; k++)
			node->chosen = g->nodes[g->refs[node->refs + k]].chosen;
	}
}
