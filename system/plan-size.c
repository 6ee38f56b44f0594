/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sizes of a plan: of closures, of packages, and of what has to be fetched. Both closures are
 * walked level by level, so that each question to the daemon is about many items. */
#include <errno.h>
#include <string.h>

#include "lib/tab.h"
#include "store/store.h"
#include "system/plan.h"

struct item {
	const char *path;
	const char **refs;
	size_t nrefs;
	uint64_t size, download;
	enum { ITEM_VALID, ITEM_OFFERED, ITEM_UNBUILT } kind;
};

struct sizer {
	const struct plan_sizer *z;
	struct arena *a;
	struct tab items; /* struct item by path */
	struct err *e;
};

static int no_memory(struct sizer *s)
{
	return err_set(s->e, -ENOMEM, "out of memory");
}

static int add_item(struct sizer *s, struct item item)
{
	struct item *copy = arena_dup(s->a, &item, sizeof(item));
	void **slot = copy ? tab_put(&s->items, slice_of(copy->path), NULL) : NULL;

	if (!slot)
		return no_memory(s);
	*slot = copy;
	return 0;
}

static int add_valid(struct sizer *s, const struct vec *paths)
{
	struct store_info **infos = arena_array(s->a, paths->n + 1, sizeof(*infos));
	int rc = infos ? store_infos(s->z->conn, s->a, (const char *const *)paths->v, paths->n,
				     infos, s->e)
		       : no_memory(s);

	for (size_t i = 0; rc == 0 && i < paths->n; i++)
		rc = add_item(s, (struct item){ paths->v[i], infos[i]->refs, infos[i]->nrefs,
						infos[i]->nar_size, 0, ITEM_VALID });
	return rc;
}

static int add_offered(struct sizer *s, const struct vec *paths)
{
	auto_vec struct vec offers = VEC_INIT;
	int rc = store_offers(s->z->conn, s->a, (const char *const *)paths->v, paths->n, &offers,
			      s->e);

	for (size_t i = 0; rc == 0 && i < offers.n; i++) {
		const struct store_offer *o = offers.v[i];

		rc = add_item(s, (struct item){ o->path, o->refs, o->nrefs, o->nar_size,
						o->download, ITEM_OFFERED });
	}
	return rc;
}

static int add_unbuilt(struct sizer *s, const char *path)
{
	auto_vec struct vec refs = VEC_INIT;
	const char **v;

	if (s->z->refs)
		(void)s->z->refs(s->z->arg, path, &refs);
	v = arena_dup(s->a, refs.v, refs.n * sizeof(void *));
	if (!v || refs.err)
		return no_memory(s);
	return add_item(s, (struct item){ path, v, refs.n, 0, 0, ITEM_UNBUILT });
}

/* Make all paths known. */
static int learn(struct sizer *s, const struct vec *paths)
{
	auto_vec struct vec valid = VEC_INIT, rest = VEC_INIT;
	int rc = paths->n ? store_valid_subset(s->z->conn, s->a, (const char *const *)paths->v,
					       paths->n, &valid, s->e)
			  : 0;

	if (rc == 0)
		rc = add_valid(s, &valid);
	for (size_t i = 0; i < paths->n; i++)
		if (!tab_has(&s->items, slice_of(paths->v[i])))
			vec_add(&rest, paths->v[i]);
	if (rc == 0 && rest.n && s->z->offers)
		rc = add_offered(s, &rest);
	for (size_t i = 0; rc == 0 && i < rest.n; i++)
		if (!tab_has(&s->items, slice_of(rest.v[i])))
			rc = add_unbuilt(s, rest.v[i]);
	return rc == 0 && rest.err ? no_memory(s) : rc;
}

/* The closure of path: struct item. */
static int walk(struct sizer *s, const char *path, struct vec *ret)
{
	auto_tab struct tab seen = TAB_INIT;
	auto_vec struct vec level = VEC_INIT;
	int rc = tab_put(&seen, slice_of(path), NULL) ? 0 : no_memory(s);

	vec_add(&level, (void *)path);
	while (rc == 0 && level.n) {
		auto_vec struct vec next = VEC_INIT, unknown = VEC_INIT;

		for (size_t i = 0; i < level.n; i++)
			if (!tab_has(&s->items, slice_of(level.v[i])))
				vec_add(&unknown, level.v[i]);
		rc = learn(s, &unknown);
		for (size_t i = 0; rc == 0 && i < level.n; i++) {
			struct item *x = tab_find(&s->items, slice_of(level.v[i]));
			bool fresh = false;

			vec_add(ret, x);
			for (size_t k = 0; k < x->nrefs; k++) {
				if (!tab_put(&seen, slice_of(x->refs[k]), &fresh))
					rc = no_memory(s);
				else if (fresh)
					vec_add(&next, (void *)x->refs[k]);
			}
		}
		if (next.err || unknown.err || ret->err)
			rc = no_memory(s);
		vec_done(&level);
		level = next;
		next = (struct vec)VEC_INIT;
	}
	return rc;
}

static void sum(const struct vec *items, uint64_t *ret_bytes, size_t *ret_unknown)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *x = items->v[i];

		*ret_bytes += x->size;
		*ret_unknown += x->size == 0;
	}
}

static void count_missing(const struct vec *items, struct plan *p)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *x = items->v[i];

		p->build += x->kind == ITEM_UNBUILT;
		if (x->kind != ITEM_OFFERED)
			continue;
		p->fetch++;
		p->download += x->download;
		p->unpacked += x->size;
	}
}

int plan_sizes(const struct plan_sizer *z, struct arena *a, const char *from, const char *to,
	       struct plan *p, struct err *e)
{
	struct sizer s = { z, a, TAB_INIT, e };
	auto_vec struct vec before = VEC_INIT, after = VEC_INIT;
	int rc = walk(&s, to, &after);

	if (rc == 0 && from)
		rc = walk(&s, from, &before);
	if (rc == 0) {
		sum(&after, &p->closure_after, &p->unknown_after);
		sum(&before, &p->closure_before, &p->unknown_before);
		count_missing(&after, p);
		p->sized = true;
	}
	for (size_t i = 0; rc == 0 && i < p->packages.n; i++) {
		struct plan_item *item = p->packages.v[i];
		const struct item *x = tab_find(&s.items, slice_of(item->path));

		item->size = x ? x->size : 0;
		item->unbuilt = x && x->kind == ITEM_UNBUILT && item->how != PLAN_REMOVED;
	}
	tab_done(&s.items);
	return rc;
}
