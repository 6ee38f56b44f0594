/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "services/services.h"

#include <errno.h>
#include <stdbool.h>

#include "lib/conf.h"
#include "lib/size.h"
#include "lib/str.h"
#include "lib/tab.h"

#define LIMIT_SERVICES 4096

const char *const svc_action_names[SVC_ACTION_MAX] = { "keep", "later", "start", "stop",
						       "restart" };

struct definition {
	const char *name;
	struct str text; /* normalised lines */
	bool later, disabled;
	const char *requires; /* words of all its requires lines */
	bool restarts;
};

struct set {
	struct arena *a;
	struct vec list; /* struct definition */
	struct tab names;
};

static void set_done(struct set *s)
{
	for (size_t i = 0; i < s->list.n; i++)
		str_done(&((struct definition *)s->list.v[i])->text);
	vec_done(&s->list);
	tab_done(&s->names);
}

static struct definition *header(struct set *s, struct slice line, struct err *e)
{
	struct slice inner = { line.p + 1, line.n - 2 }, kind;
	struct definition *d;
	void **slot;

	(void)slice_cut(&inner, ' ', &kind);
	if (!slice_is(kind, "service") || !inner.p)
		return NULL;
	d = ARENA_NEW(s->a, struct definition);
	if (d) {
		*d = (struct definition){ .name = arena_slice(s->a, slice_trim(inner)),
					  .text = STR_INIT,
					  .requires = "" };
		slot = d->name ? tab_put(&s->names, slice_of(d->name), NULL) : NULL;
		if (slot)
			*slot = d;
		vec_add(&s->list, d);
		if (slot && !s->list.err)
			return d;
	}
	err_set(e, -ENOMEM, "out of memory");
	return NULL;
}

static void body(struct set *s, struct definition *d, struct slice line)
{
	struct slice value = line, key;

	(void)slice_cut(&value, '=', &key);
	key = slice_trim(key);
	value = slice_trim(value);
	str_adds(&d->text, key);
	str_addc(&d->text, '=');
	str_adds(&d->text, value);
	str_addc(&d->text, '\n');
	if (slice_is(key, "on-change"))
		d->later = slice_is(value, "later");
	if (slice_is(key, "enabled"))
		d->disabled = slice_is(value, "no");
	if (slice_is(key, "requires"))
	d->requires = arena_fmt(s->a, "%s %.*s", d->requires, (int)value.n, value.p);
}

static int parse(struct set *s, struct slice text, struct err *e)
{
	struct definition *d = NULL;
	struct slice line;

	while (slice_cut(&text, '\n', &line)) {
		line = slice_trim(line);
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (line.p[0] == '[' && line.n > 2) {
			d = header(s, line, e);
			if (!d && e->code)
				return e->code;
			continue;
		}
		if (d)
			body(s, d, line);
		if (d && (str_err(&d->text) || !d->requires))
			return err_set(e, -ENOMEM, "out of memory");
		if (s->list.n > LIMIT_SERVICES)
			return err_set(e, -ERR_LIMIT, "more than %d services", LIMIT_SERVICES);
	}
	return 0;
}

static bool same(const struct definition *x, const struct definition *y)
{
	return slice_eq(str_slice(&x->text), str_slice(&y->text));
}

static bool requires_restarted(const struct set *s, const struct definition *d)
{
	struct slice rest = slice_of(d->requires), word;

	while (rest.n && slice_cut(&rest, ' ', &word)) {
		const struct definition *x = word.n ? tab_find(&s->names, word) : NULL;

		if (x && x->restarts)
			return true;
	}
	return false;
}

/* Restarts spread to those that require a restarted one, until nothing changes. */
static void spread(const struct set *old, const struct set *new)
{
	bool again = true;

	for (size_t i = 0; i < new->list.n; i++) {
		struct definition *d = new->list.v[i];
		const struct definition *o = tab_find(&old->names, slice_of(d->name));

		d->restarts = o && !same(o, d) && !d->later;
	}
	while (again) {
		again = false;
		for (size_t i = 0; i < new->list.n; i++) {
			struct definition *d = new->list.v[i];

			if (!d->restarts && tab_has(&old->names, slice_of(d->name)) &&
			    requires_restarted(new, d))
				d->restarts = again = true;
		}
	}
}

static enum svc_action action_of(const struct set *old, const struct set *new, const char *name)
{
	const struct definition *o = tab_find(&old->names, slice_of(name));
	const struct definition *n = tab_find(&new->names, slice_of(name));

	if (!n)
		return SVC_STOP;
	if (!o)
		return n->disabled ? SVC_LATER : SVC_START;
	if (n->restarts)
		return SVC_RESTART;
	return same(o, n) ? SVC_KEEP : SVC_LATER;
}

static int diff(struct arena *a, const struct set *old, const struct set *new, struct vec *ret,
		struct err *e)
{
	const struct set *sets[] = { old, new };
	auto_vec struct vec names = VEC_INIT;

	spread(old, new);
	for (size_t k = 0; k < ARRAY_LEN(sets); k++) {
		for (size_t i = 0; i < sets[k]->list.n; i++)
			vec_add(&names, (void *)((struct definition *)sets[k]->list.v[i])->name);
	}
	vec_sort_str(&names);
	vec_uniq_str(&names);
	for (size_t i = 0; i < names.n; i++) {
		struct svc_change *c = ARENA_NEW(a, struct svc_change);

		if (!c)
			return err_set(e, -ENOMEM, "out of memory");
		c->name = names.v[i];
		c->action = action_of(old, new, c->name);
		vec_add(ret, c);
	}
	return names.err || ret->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

int svc_set_diff(struct arena *a, struct slice old, struct slice new, struct vec *ret,
		 struct err *e)
{
	struct set o = { a, VEC_INIT, TAB_INIT }, n = { a, VEC_INIT, TAB_INIT };
	int rc = parse(&o, old, e);

	if (rc == 0)
		rc = parse(&n, new, e);
	if (rc == 0)
		rc = diff(a, &o, &n, ret, e);
	set_done(&o);
	set_done(&n);
	return rc;
}
