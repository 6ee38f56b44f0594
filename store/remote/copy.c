/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/remote/copy.h"

#include <errno.h>
#include <string.h>

#include "lib/size.h"
#include "lib/tab.h"
#include "lib/wire.h"

struct item {
	struct store_info *info;
	bool seen;
};

struct copier {
	const struct copy *c;
	struct arena a;
	struct tab missing; /* path -> struct item * */
	struct vec order;   /* paths, those referred to first */
	struct vec there; /* paths of the other store that these refer to, or that were asked for */
	/* while sending */
	size_t next; /* in order */
	bool in_item, over;
	size_t head; /* bytes of the number before an item that were sent */
	struct err *e;
};

/* ---- What is to be sent ---------------------------------------------------------------------- */

static int no_memory(struct copier *k)
{
	return err_set(k->e, -ENOMEM, "out of memory");
}

static int find_missing(struct copier *k, const char *const *paths, size_t n)
{
	auto_vec struct vec all = VEC_INIT, valid = VEC_INIT;
	int r = store_closure(k->c->from, &k->a, paths, n, &all, k->e);
	if (!r)
		r = store_valid_subset(k->c->to, &k->a, (const char *const *)all.v, all.n, &valid,
				       k->e);
	for (size_t i = 0; !r && i < all.n; i++) {
		struct item *item = ARENA_NEW(&k->a, struct item);
		void **slot;
		if (vec_has_str(&valid, all.v[i]))
			continue;
		slot = item ? tab_put(&k->missing, slice_of(all.v[i]), NULL) : NULL;
		if (!slot)
			return no_memory(k);
		*slot = item;
		r = store_info(k->c->from, &k->a, all.v[i], &item->info, k->e);
	}
	for (size_t i = 0; i < n; i++)
		if (!tab_has(&k->missing, slice_of(paths[i])))
			vec_add(&k->there, (char *)(uintptr_t)paths[i]);
	return r;
}

/* The stack has paths to be looked at, and those that were with NULL above them: when that comes up
 * all that a path refers to is out. */
static void order_from(struct copier *k, const char *start, struct vec *todo)
{
	vec_add(todo, (char *)(uintptr_t)start);
	while (todo->n && !todo->err) {
		const char *path = todo->v[todo->n - 1];
		struct item *item = path ? tab_find(&k->missing, slice_of(path)) : NULL;
		if (!path) {
			todo->n -= 2;
			vec_add(&k->order, todo->v[todo->n]);
		} else if (!item || item->seen) {
			if (!item)
				vec_add(&k->there, (char *)(uintptr_t)path);
			todo->n--;
		} else {
			item->seen = true;
			vec_add(todo, NULL);
			for (size_t i = 0; i < item->info->nrefs; i++)
				if (strcmp(item->info->refs[i], item->info->path) != 0)
					vec_add(todo, (char *)(uintptr_t)item->info->refs[i]);
		}
	}
}

static int find_order(struct copier *k)
{
	auto_vec struct vec todo = VEC_INIT;
	struct tab_slot *slot;
	size_t i = 0;
	while ((slot = tab_next(&k->missing, &i)))
		order_from(k, ((struct item *)slot->value)->info->path, &todo);
	return todo.err || k->order.err || k->there.err ? no_memory(k) : 0;
}

/* What was valid a moment ago and has a root now either is still there or was collected. */
static int protect(struct copier *k)
{
	auto_vec struct vec valid = VEC_INIT;
	int r = 0;
	vec_sort_str(&k->there);
	vec_uniq_str(&k->there);
	for (size_t i = 0; !r && i < k->there.n; i++)
		r = store_add_temp_root(k->c->to, k->there.v[i], k->e);
	if (!r)
		r = store_valid_subset(k->c->to, &k->a, (const char *const *)k->there.v, k->there.n,
				       &valid, k->e);
	if (!r && valid.n != k->there.n)
		r = err_set(k->e, -ERR_NOTVALID,
			    "items of the other store were collected meanwhile; try again");
	return r;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* The number before an item, or the one at the end, as far as there is room. */
static size_t put_number(struct copier *k, char *p, size_t n)
{
	char bytes[8] = { k->next < k->order.n };
	size_t part = MIN_OF(n, sizeof(bytes) - k->head);
	memcpy(p, bytes + k->head, part);
	k->head += part;
	return part;
}

static int begin_item(struct copier *k)
{
	const char *path = k->order.v[k->next];
	if (k->c->tell)
		k->c->tell(k->c->arg, path);
	k->in_item = true;
	return client_export_begin(k->c->from, path, k->c->sign, k->e);
}

static int feed(void *arg, void *p, size_t n, size_t *ret, struct err *e)
{
	struct copier *k = arg;
	char *to = p;
	size_t done = 0, got;
	int r = 0;
	(void)e; /* is k->e */
	while (!r && done < n && !k->over) {
		if (!k->in_item) {
			done += put_number(k, to + done, n - done);
			if (k->head < 8)
				break;
			k->head = 0;
			if (k->next == k->order.n)
				k->over = true;
			else
				r = begin_item(k);
			continue;
		}
		r = client_export_read(k->c->from, to + done, n - done, &got, k->e);
		if (r)
			break;
		done += got;
		if (!got) {
			k->in_item = false;
			k->next++;
		}
	}
	*ret = done;
	return r;
}

int copy_items(const struct copy *c, const char *const *paths, size_t n, size_t *ret, struct err *e)
{
	struct copier k = { .c = c, .e = e };
	auto_vec struct vec got = VEC_INIT;
	int r = find_missing(&k, paths, n);
	if (!r)
		r = find_order(&k);
	if (!r)
		r = protect(&k);
	if (!r && k.order.n)
		r = client_import(c->to, &k.a, feed, &k, &got, e);
	if (!r)
		*ret = k.order.n;
	tab_done(&k.missing);
	vec_done(&k.order);
	vec_done(&k.there);
	arena_done(&k.a);
	return r;
}
