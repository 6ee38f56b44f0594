/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which paths to fetch so that as little as possible is left to build, and fetching them. */
#include <errno.h>
#include <poll.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/build/attrs.h"
#include "store/subst/subst.h"

#define WORKERS_MAX 8
#define DEPTH_MAX   20000

/* ---- Items ----------------------------------------------------------------------------------- */

/* Ask for paths and all they refer to that is not here. */
static int find_items(struct subst_plan *p, const struct vec *paths, const struct tab *failed,
		      struct err *e)
{
	auto_vec struct vec now = VEC_INIT, next = VEC_INIT;
	int r = 0;

	for (size_t i = 0; i < paths->n; i++)
		vec_add(&now, paths->v[i]);
	while (r == 0 && now.n) {
		auto_tab struct tab found = TAB_INIT;
		auto_vec struct vec ask = VEC_INIT;

		for (size_t i = 0; r == 0 && i < now.n; i++) {
			bool valid = false, new = false;

			r = local_is_valid(p->s->l, now.v[i], &valid, e);
			if (r == 0 && !valid && !tab_put(&p->items, slice_of(now.v[i]), &new))
				r = err_set(e, -ENOMEM, "out of memory");
			if (new && !(failed && tab_has(failed, slice_of(now.v[i]))))
				vec_add(&ask, now.v[i]);
		}
		if (r == 0)
			r = subst_lookup(p->s, &p->a, &ask, &found, e);
		next.n = 0;
		for (size_t i = 0; r == 0 && i < ask.n; i++) {
			struct subst_item *item = tab_find(&found, slice_of(ask.v[i]));

			*tab_put(&p->items, slice_of(ask.v[i]), NULL) = item; /* is there */
			for (size_t k = 0; item && k < item->info.nrefs; k++)
				if (!tab_has(&p->items, slice_of(item->info.refs[k])))
					vec_add(&next, (void *)(uintptr_t)item->info.refs[k]);
		}
		struct vec swap = now;
		now = next;
		next = swap;
		if (r == 0 && (now.err || ask.err))
			r = err_set(e, -ENOMEM, "out of memory");
	}
	return r;
}

/* Whether path can be had with all it refers to; what is valid needs nothing. */
static struct subst_item *whole(struct subst_plan *p, const char *path, unsigned depth)
{
	struct subst_item *item = tab_find(&p->items, slice_of(path));

	if (!item || item->checked || depth > DEPTH_MAX)
		return depth > DEPTH_MAX ? NULL : item;
	item->checked = true; /* a path may refer to itself */
	for (size_t i = 0; i < item->info.nrefs; i++) {
		struct slice ref = slice_of(item->info.refs[i]);

		if (tab_has(&p->items, ref) && !whole(p, item->info.refs[i], depth + 1)) {
			*tab_put(&p->items, slice_of(path), NULL) = NULL; /* is there */
			return NULL;
		}
	}
	return item;
}

/* Put path on the list, after what it refers to. */
static int want(struct subst_plan *p, const char *path, struct err *e)
{
	struct subst_item *item = tab_find(&p->items, slice_of(path));
	int r = local_temp_root(p->s->l, path, e);

	if (r < 0 || !item || item->wanted)
		return r;
	item->wanted = true;
	for (size_t i = 0; r == 0 && i < item->info.nrefs; i++)
		r = want(p, item->info.refs[i], e);
	vec_add(&p->order, item);
	return r == 0 && p->order.err ? err_set(e, -ENOMEM, "out of memory") : r;
}

/* ---- Derivations ----------------------------------------------------------------------------- */

struct need {
	const char *path; /* of a derivation */
	struct drv *drv;
	const char *const *outputs;
	size_t n; /* 0: all */
};

struct graph {
	struct subst_plan *p;
	const struct tab *failed;
	struct tab seen;      /* outputs that were looked at */
	struct vec now, next; /* struct need * */
};

static bool is_wanted(const struct need *n, const char *id)
{
	bool wanted = n->n == 0;

	for (size_t i = 0; !wanted && i < n->n; i++)
		wanted = !strcmp(n->outputs[i], id);
	return wanted;
}

/* Whoever wrote the derivation can have it built here only. What does not say so legibly fails when
 * it is built. */
static bool is_allowed(struct subst_plan *p, const struct drv *d)
{
	struct attr v;

	return attrs_get(p->s->l, &p->a, d, KEY_ALLOW_SUBSTITUTES, &v, NULL) == 0 &&
	       (!v.found || slice_is(v.words, "1"));
}

static int add_need(struct graph *g, struct vec *to, const char *path, const char *const *outputs,
		    size_t n, struct err *e)
{
	struct need *need = ARENA_NEW(&g->p->a, struct need);
	int r;

	if (!need)
		return err_set(e, -ENOMEM, "out of memory");
	*need = (struct need){ .path = path, .outputs = outputs, .n = n };
	r = local_drv(g->p->s->l, &g->p->a, path, &need->drv, e);
	if (r == 0)
		vec_add(to, need);
	return r == 0 && to->err ? err_set(e, -ENOMEM, "out of memory") : r;
}

/* The outputs of n that are wanted and not valid, each the first time alone. */
static int missing_outputs(struct graph *g, const struct need *n, struct vec *ret, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n->drv->noutputs; i++) {
		const struct drv_output *o = &n->drv->outputs[i];
		bool valid = true;

		if (!is_wanted(n, o->id))
			continue;
		r = local_temp_root(g->p->s->l, o->path, e);
		if (r == 0)
			r = local_is_valid(g->p->s->l, o->path, &valid, e);
		if (!valid)
			vec_add(ret, (void *)(uintptr_t)o->path);
	}
	return r;
}

/* Fetch the outputs, or go on with what they would be built from. */
static int decide(struct graph *g, const struct need *n, struct err *e)
{
	auto_vec struct vec missing = VEC_INIT;
	bool fetch = is_allowed(g->p, n->drv), new = false;
	int r = missing_outputs(g, n, &missing, e);

	for (size_t i = 0; i < missing.n; i++)
		fetch = fetch && whole(g->p, missing.v[i], 0);
	for (size_t i = 0; r == 0 && fetch && i < missing.n; i++)
		r = want(g->p, missing.v[i], e);
	if (r < 0 || fetch || !missing.n)
		return r;
	(void)tab_put(&g->seen, slice_of(n->path), &new);
	for (size_t i = 0; r == 0 && new &&i < n->drv->ninputs; i++) {
		const struct drv_input *in = &n->drv->inputs[i];

		r = add_need(g, &g->next, in->path, in->outputs, in->noutputs, e);
	}
	return r;
}

static int walk(struct graph *g, struct err *e)
{
	int r = 0;

	while (r == 0 && g->now.n) {
		auto_vec struct vec ask = VEC_INIT;

		for (size_t i = 0; r == 0 && i < g->now.n; i++) {
			const struct need *n = g->now.v[i];

			if (is_allowed(g->p, n->drv))
				r = missing_outputs(g, n, &ask, e);
		}
		if (r == 0)
			r = find_items(g->p, &ask, g->failed, e);
		for (size_t i = 0; r == 0 && i < g->now.n; i++)
			r = decide(g, g->now.v[i], e);
		struct vec swap = g->now;
		g->now = g->next;
		g->next = swap;
		g->next.n = 0;
	}
	return r;
}

/* ---- Plans ----------------------------------------------------------------------------------- */

/* The ids after '!'; none for all. */
static int split_outputs(struct arena *a, const char *thing, const char *const **ret, size_t *ret_n,
			 struct err *e)
{
	auto_vec struct vec v = VEC_INIT;
	const char *bang = strchr(thing, '!');
	struct slice rest = slice_of(bang ? bang + 1 : NULL), id;

	while (bang && slice_cut(&rest, ',', &id))
		vec_add(&v, arena_slice(a, id));
	if (v.n == 1 && !strcmp(v.v[0], "*"))
		v.n = 0;
	*ret = arena_dup(a, v.v, v.n * sizeof(char *));
	*ret_n = v.n;
	return v.err || arena_err(a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int add_thing(struct graph *g, const char *thing, struct vec *paths, struct err *e)
{
	struct arena *a = &g->p->a;
	struct local *l = g->p->s->l;
	char *path = arena_strn(a, thing, strcspn(thing, "!"));
	const char *const *outputs;
	bool valid = false;
	size_t n;
	int r = path ? local_check_path(l, path, e) : err_set(e, -ENOMEM, "out of memory");

	if (r == 0)
		r = local_temp_root(l, path, e);
	if (r == 0)
		r = local_is_valid(l, path, &valid, e);
	if (r == 0 && !valid)
		vec_add(paths, path);
	if (r < 0 || !valid || !slice_ends(slice_of(path), ".drv"))
		return r;
	r = split_outputs(a, thing, &outputs, &n, e);
	return r == 0 ? add_need(g, &g->now, path, outputs, n, e) : r;
}

int subst_plan(struct subst_plan *p, struct session *s, const struct vec *things,
	       const struct tab *failed, struct err *e)
{
	struct graph g = {
		.p = p, .failed = failed, .seen = TAB_INIT, .now = VEC_INIT, .next = VEC_INIT
	};
	auto_vec struct vec paths = VEC_INIT;
	int r = 0;

	*p = (struct subst_plan){ .s = s, .a = ARENA_INIT, .items = TAB_INIT, .order = VEC_INIT };
	for (size_t i = 0; r == 0 && i < things->n; i++)
		r = add_thing(&g, things->v[i], &paths, e);
	if (r == 0)
		r = find_items(p, &paths, failed, e);
	for (size_t i = 0; r == 0 && i < paths.n; i++)
		if (whole(p, paths.v[i], 0))
			r = want(p, paths.v[i], e);
	if (r == 0)
		r = walk(&g, e);
	tab_done(&g.seen);
	vec_done(&g.now);
	vec_done(&g.next);
	return r;
}

void subst_plan_done(struct subst_plan *p)
{
	tab_done(&p->items);
	vec_done(&p->order);
	arena_done(&p->a);
}

void subst_plan_sizes(const struct subst_plan *p, uint64_t *ret_download, uint64_t *ret_nar)
{
	*ret_download = *ret_nar = 0;
	for (size_t i = 0; i < p->order.n; i++) {
		const struct subst_item *item = p->order.v[i];

		*ret_download += item->download;
		*ret_nar += item->info.nar_size;
	}
}

/* ---- Fetching -------------------------------------------------------------------------------- */

struct run {
	struct subst_plan *p;
	struct tab *failed;
	struct build_id id;
	struct subst_item *at[WORKERS_MAX]; /* NULL: free */
	size_t busy, first;		    /* all before first are started */
	size_t ended;
	bool stop;
};

static bool is_ready(struct run *x, const struct subst_item *item)
{
	for (size_t i = 0; i < item->info.nrefs; i++) {
		struct slice ref = slice_of(item->info.refs[i]);
		const struct subst_item *other = tab_find(&x->p->items, ref);

		if (other && other != item && other->wanted && !other->done)
			return false;
	}
	return true;
}

static bool is_started(const struct subst_item *item)
{
	return item->done || item->log >= 0 || item->proc.pid > 0;
}

/* The next item whose references are all here. One that waits for what failed is never ready. */
static struct subst_item *next_ready(struct run *x)
{
	const struct vec *v = &x->p->order;

	while (x->first < v->n && is_started(v->v[x->first]))
		x->first++;
	for (size_t i = x->first; i < v->n; i++)
		if (!is_started(v->v[i]) &&
		    !tab_has(x->failed, slice_of(((struct subst_item *)v->v[i])->info.path)) &&
		    is_ready(x, v->v[i]))
			return v->v[i];
	return NULL;
}

static int start_some(struct run *x, struct err *e)
{
	for (size_t i = 0; i < WORKERS_MAX && !x->stop; i++) {
		struct subst_item *item = x->at[i] ? NULL : next_ready(x);
		int r = item ? subst_start(x->p->s, item, &x->id, e) : 0;

		if (r < 0)
			return r;
		if (item) {
			x->at[i] = item;
			x->busy++;
		}
	}
	return 0;
}

static void set_failed(struct run *x, const struct subst_item *item)
{
	(void)tab_put(x->failed, slice_of(arena_str(&x->p->s->subst.failed, item->info.path)),
		      NULL);
}

/* Items that wait for each other would be planned again for ever. */
static void fail_all(struct run *x, struct err *first)
{
	const struct vec *v = &x->p->order;

	for (size_t i = 0; i < v->n; i++)
		set_failed(x, v->v[i]);
	err_set(first, -ERR_FETCH, "the substitutes of `%s' and others refer to each other",
		v->n ? ((struct subst_item *)v->v[0])->info.path : "");
}

static void finish_one(struct run *x, size_t i, struct err *first)
{
	struct subst_item *item = x->at[i];
	struct err e = ERR_INIT;

	x->at[i] = NULL;
	x->busy--;
	x->ended++;
	if (subst_finish(x->p->s, item, &e) == 0) {
		item->done = true;
		return;
	}
	if (!first->code)
		*first = e;
	set_failed(x, item);
	x->stop = !x->p->s->subst.fallback && !x->p->s->keep_going;
}

static int wait_some(struct run *x, struct err *first, struct err *e)
{
	struct pollfd p[1 + 2 * WORKERS_MAX];
	struct session *s = x->p->s;

	p[0] = (struct pollfd){ .fd = s->stream.fd, .events = POLLRDHUP };
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		const struct subst_item *item = x->at[i];

		p[1 + 2 * i] = (struct pollfd){ .fd = item ? item->log : -1, .events = POLLIN };
		p[2 + 2 * i] =
			(struct pollfd){ .fd = item ? item->proc.pidfd : -1, .events = POLLIN };
	}
	if (stream_flush(&s->stream) || (poll(p, ARRAY_LEN(p), -1) > 0 && p[0].revents)) {
		s->client_gone = true;
		return err_set(e, -ERR_PROTO, "the client went away");
	}
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		if (x->at[i] && p[1 + 2 * i].revents)
			(void)subst_output(s,
					   x->at[i]); /* its end is told by the other descriptor */
		if (x->at[i] && p[2 + 2 * i].revents)
			finish_one(x, i, first);
	}
	return 0;
}

/* Make what is wanted valid; failed gets what could not be had. */
static int run_plan(struct subst_plan *p, struct tab *failed, struct err *e)
{
	struct run x = { .p = p, .failed = failed };
	struct err first = ERR_INIT;
	int r = local_flush(p->s->l, e);

	if (r == 0)
		r = session_take_id(p->s, &x.id, e);
	if (r < 0)
		return r;
	do {
		r = start_some(&x, e);
		if (r == 0 && x.busy)
			r = wait_some(&x, &first, e);
	} while (r == 0 && x.busy);
	if (r == 0 && !x.ended && p->order.n)
		fail_all(&x, &first);
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (x.at[i])
			subst_abort(x.at[i]);
	session_put_id(p->s, &x.id);
	return r == 0 && first.code ? err_set(e, first.code, "%s", first.msg) : r;
}

int subst_before_build(struct session *s, const struct vec *things, struct err *e)
{
	auto_tab struct tab failed = TAB_INIT;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec urls = VEC_INIT;
	bool more = true;
	int r = subst_urls(s, &a, &urls, e);

	while (r == 0 && more && urls.n) {
		struct subst_plan p;

		r = subst_plan(&p, s, things, &failed, e);
		more = p.order.n != 0;
		if (r == 0 && more)
			r = run_plan(&p, &failed, e);
		subst_plan_done(&p);
		if (r == -ERR_FETCH && s->subst.fallback) {
			session_say(s, "%s; falling back to a build", e->msg);
			*e = (struct err)ERR_INIT;
			r = 0;
		} else if (r == -ERR_FETCH) {
			err_hint(e, r, "--fallback builds what cannot be fetched");
		}
	}
	arena_done(&s->subst.failed);
	return r;
}

/* ---- Repairing ------------------------------------------------------------------------------- */

static int run_single(struct subst_plan *p, struct subst_item *item, struct err *e)
{
	auto_tab struct tab failed = TAB_INIT;

	item->mend = true;
	vec_add(&p->order, item);
	int r = p->order.err ? err_set(e, -ENOMEM, "out of memory") : run_plan(p, &failed, e);
	arena_done(&p->s->subst.failed);
	return r;
}

int subst_mend(struct session *s, const char *path, bool *ret, struct err *e)
{
	struct subst_plan p = { .s = s, .a = ARENA_INIT, .items = TAB_INIT, .order = VEC_INIT };
	struct subst_item *item = NULL;
	struct store_info *info;
	struct err why = ERR_INIT;
	int r = local_temp_root(s->l, path, e);

	if (r == 0)
		r = local_info(s->l, &p.a, path, &info, e);
	if (r == 0)
		r = subst_lookup_same(s, &p.a, path, &info->nar_hash, &item, e);
	*ret = false;
	if (r == 0 && item) {
		r = run_single(&p, item, &why);
		*ret = r == 0;
		if (r == -ERR_FETCH) { /* there may be another way */
			session_say(s, "%s", why.msg);
			r = 0;
		} else if (r < 0) {
			*e = why;
		}
	}
	subst_plan_done(&p);
	return r;
}
