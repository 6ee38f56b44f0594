/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/repair.h"

#include <errno.h>
#include <string.h>

#include "store/build/goal.h"
#include "store/subst/subst.h"

/* A valid derivation with path among its outputs, in a; *ret NULL: there is none. */
static int find_deriver(struct session *s, struct arena *a, const char *path, const char **ret,
			struct err *e)
{
	auto_vec struct vec v = VEC_INIT;
	int r = local_derivers(s->l, a, path, &v, e);
	*ret = r == 0 && v.n ? v.v[0] : NULL;
	return r;
}

/* -ERR_NOTFOUND: nothing to make path from. */
static int build_one(struct session *s, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec things = VEC_INIT;
	const char *drv = NULL;
	bool good = false;
	int status, r = local_is_good(s->l, path, &good, e);
	if (r || good)
		return r;
	r = find_deriver(s, &a, path, &drv, e);
	if (r)
		return r;
	if (!drv)
		return err_set(e, -ERR_NOTFOUND, "no derivation is there that makes it");
	vec_add(&things, (char *)(uintptr_t)drv);
	r = things.err ? err_set(e, things.err, "out of memory")
		       : goal_build(s, &things, PROTO_BUILD_REPAIR, &status, e);
	if (!r)
		session_say(s, "repaired `%s'", path);
	return r;
}

struct damage {
	const char *path; /* NULL: repaired */
	const char *why;  /* it could not be, the last time */
};

/* From a cache, which is quicker and also has what was never built here. */
static int fetch_one(struct session *s, const char *path, bool *ret, struct err *e)
{
	bool good = false;
	int r = local_is_good(s->l, path, &good, e);
	*ret = good;
	if (r || good)
		return r;
	r = subst_mend(s, path, ret, e);
	if (!r && *ret)
		session_say(s, "repaired `%s'", path);
	return r;
}

static void fetch_pass(struct session *s, struct arena *a, struct damage *v, size_t n)
{
	for (size_t i = 0; i < n && !s->client_gone; i++) {
		struct err e = ERR_INIT;
		bool done = false;
		if (fetch_one(s, v[i].path, &done, &e))
			v[i].why = arena_str(a, e.msg);
		if (done)
			v[i].path = NULL;
	}
}

/* What an item is made with may be damaged itself, so passes are made as long as they change
 * something. */
static size_t build_pass(struct session *s, struct arena *a, struct damage *v, size_t n)
{
	size_t repaired = 0;
	for (size_t i = 0; i < n && !s->client_gone; i++) {
		struct err e = ERR_INIT;
		if (!v[i].path)
			continue;
		if (build_one(s, v[i].path, &e)) {
			v[i].why = arena_str(a, e.msg);
			continue;
		}
		v[i].path = NULL;
		repaired++;
	}
	return repaired;
}

static void say_line(void *arg, const char *text)
{
	session_say(arg, "%s", text);
}

/* What cannot be made again: told, and if it is gone and nobody needs it, forgotten. */
static int give_up(struct session *s, const struct damage *v, size_t n, uint64_t *ret_left,
		   struct err *e)
{
	auto_vec struct vec left = VEC_INIT;
	uint64_t removed = 0;
	for (size_t i = 0; i < n; i++) {
		if (!v[i].path)
			continue;
		session_say(s, "path `%s' could not be repaired: %s", v[i].path,
			    v[i].why ? v[i].why : "the request was ended");
		vec_add(&left, (char *)(uintptr_t)v[i].path);
	}
	if (left.err)
		return err_set(e, left.err, "out of memory");
	int r = left.n ? local_forget_missing(s->l, &left, say_line, s, &removed, e) : 0;
	*ret_left = left.n - removed;
	return r;
}

int repair_all(struct session *s, const struct vec *bad, uint64_t *ret_left, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct damage *v = arena_array(&a, bad->n + 1, sizeof(*v));
	if (!v)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < bad->n; i++)
		v[i] = (struct damage){ .path = bad->v[i] };
	fetch_pass(s, &a, v, bad->n);
	while (build_pass(s, &a, v, bad->n)) {
	}
	return give_up(s, v, bad->n, ret_left, e);
}

/* ---- Builds that repair ---------------------------------------------------------------------- */

static int add_outputs(struct session *s, struct arena *a, const char *thing, struct vec *ret,
		       struct err *e)
{
	const char *end = strchrnul(thing, '!');
	char *path = arena_strn(a, thing, (size_t)(end - thing));
	if (!path)
		return err_set(e, -ENOMEM, "out of memory");
	if (slice_ends(slice_of(path), ".drv"))
		return local_drv_outputs(s->l, a, path, NULL, ret, e);
	vec_add(ret, path);
	return ret->err ? err_set(e, ret->err, "out of memory") : 0;
}

/* What is damaged of everything that things need when they run. */
static int find_damage(struct session *s, struct arena *a, const struct vec *things,
		       struct vec *ret, struct err *e)
{
	auto_vec struct vec outputs = VEC_INIT, valid = VEC_INIT, all = VEC_INIT;
	int r = 0;
	for (size_t i = 0; !r && i < things->n; i++)
		r = add_outputs(s, a, things->v[i], &outputs, e);
	if (!r)
		r = local_valid_subset(s->l, a, (const char *const *)outputs.v, outputs.n, &valid,
				       e);
	if (!r)
		r = local_closure(s->l, a, (const char *const *)valid.v, valid.n, &all, e);
	for (size_t i = 0; !r && i < all.n; i++) {
		bool good = false;
		r = local_is_good(s->l, all.v[i], &good, e);
		if (!r && !good)
			vec_add(ret, all.v[i]);
	}
	return !r && ret->err ? err_set(e, ret->err, "out of memory") : r;
}

int repair_build(struct session *s, const struct vec *things, int *ret_status, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec bad = VEC_INIT;
	uint64_t left = 0;
	int r = goal_build(s, things, PROTO_BUILD_NORMAL, ret_status, e);
	if (!r)
		r = find_damage(s, &a, things, &bad, e);
	if (!r && bad.n)
		r = repair_all(s, &bad, &left, e);
	if (!r && left)
		r = err_set(e, -ERR_HASH, "%llu damaged item%s could not be repaired",
			    (unsigned long long)left, left == 1 ? "" : "s");
	return r;
}
