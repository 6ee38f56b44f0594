/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/attrs.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/text.h"
#include "store/build/refexport.h"
#include "store/local/db.h"

static struct slice json_of(const struct local *l, const struct drv *d, bool *ret)
{
	const char *key = dialect_key(l->dialect, KEY_STRUCTURED_ATTRS);
	*ret = false;
	return key ? drv_env(d, key, ret) : SLICE("");
}

bool attrs_structured(const struct local *l, const struct drv *d)
{
	bool found;
	(void)json_of(l, d, &found);
	return found;
}

/* ---- Members --------------------------------------------------------------------------------- */

static int members(struct local *l, struct arena *a, const struct drv *d, struct slice json,
		   struct vec *ret, struct err *e)
{
	struct db *db;
	int r = local_db(l, &db, e);
	if (!r)
		r = db_json(db, a, json, ret, e);
	return r == -ERR_SYNTAX ? err_set(e, -ERR_BUILD,
					  "the structured attributes of `%s' are no JSON", d->name)
				: r;
}

static struct json_value *find(const struct vec *v, const char *key)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(((struct json_value *)v->v[i])->key, key) == 0)
			return v->v[i];
	return NULL;
}

/* The member that one key after the other leads to; NULL when there is none. */
static int walk(struct local *l, struct arena *a, const struct drv *d, const char *const *keys,
		size_t n, struct json_value **ret, struct err *e)
{
	bool found;
	struct slice json = json_of(l, d, &found);
	struct json_value *at = NULL;
	for (size_t i = 0; i < n && (i == 0 || (at && at->type == JSON_OBJECT)); i++) {
		auto_vec struct vec all = VEC_INIT;
		int r = members(l, a, d, at ? at->text : json, &all, e);
		if (r)
			return r;
		at = find(&all, keys[i]);
		if (!at)
			break;
	}
	*ret = at;
	return 0;
}

static int get_words(struct local *l, struct arena *a, const struct drv *d,
		     const struct json_value *v, struct slice *ret, struct err *e)
{
	*ret = v->type == JSON_TRUE			       ? SLICE("1")
	       : v->type == JSON_FALSE || v->type == JSON_NULL ? SLICE("")
							       : v->text;
	if (v->type != JSON_ARRAY)
		return 0;
	auto_vec struct vec all = VEC_INIT;
	auto_str struct str words = STR_INIT;
	int r = members(l, a, d, v->text, &all, e);
	for (size_t i = 0; i < all.n; i++) {
		str_adds(&words, ((struct json_value *)all.v[i])->text);
		str_addc(&words, ' ');
	}
	ret->p = arena_slice(a, str_slice(&words));
	ret->n = words.len;
	return r ? r : str_err(&words) || !ret->p ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int get_member(struct local *l, struct arena *a, const struct drv *d,
		      const char *const *keys, size_t n, struct attr *ret, struct err *e)
{
	struct json_value *v;
	int r = walk(l, a, d, keys, n, &v, e);
	if (r || !v)
		return r;
	ret->found = true;
	return get_words(l, a, d, v, &ret->words, e);
}

int attrs_get(struct local *l, struct arena *a, const struct drv *d, enum drv_key key,
	      struct attr *ret, struct err *e)
{
	const char *name = dialect_key(l->dialect, key);
	*ret = (struct attr){ .words = SLICE("") };
	if (name && attrs_structured(l, d))
		return get_member(l, a, d, &name, 1, ret, e);
	if (name)
		ret->words = drv_env(d, name, &ret->found);
	return 0;
}

int attrs_get_check(struct local *l, struct arena *a, const struct drv *d, const char *output,
		    enum drv_key key, struct attr *ret, struct err *e)
{
	const char *keys[] = { "outputChecks", output, dialect_key(l->dialect, key) };
	if (!attrs_structured(l, d))
		return attrs_get(l, a, d, key, ret, e);
	*ret = (struct attr){ .words = SLICE("") };
	return keys[2] ? get_member(l, a, d, keys, 3, ret, e) : 0;
}

static int get_limit(struct local *l, struct arena *a, const struct drv *d, const char *output,
		     const char *name, uint64_t *ret, struct err *e)
{
	const char *keys[] = { "outputChecks", output, name };
	struct attr limit = { .found = false };
	*ret = UINT64_MAX;
	int r = get_member(l, a, d, keys, 3, &limit, e);
	if (r || !limit.found || text_u64(limit.words, UINT64_MAX, ret) == 0)
		return r;
	return err_set(e, -ERR_BUILD, "%s of output `%s' of `%s' is no number of bytes", name,
		       output, d->name);
}

int attrs_get_limits(struct local *l, struct arena *a, const struct drv *d, const char *output,
		     struct attrs_limits *ret, struct err *e)
{
	*ret = (struct attrs_limits){ UINT64_MAX, UINT64_MAX };
	if (!attrs_structured(l, d))
		return 0;
	int r = get_limit(l, a, d, output, "maxSize", &ret->size, e);
	return r ? r : get_limit(l, a, d, output, "maxClosureSize", &ret->closure, e);
}

/* ---- The shell's form ------------------------------------------------------------------------ */

static bool is_name(const char *s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	return *s && strchr(letters, *s) && !s[strspn(s, all)];
}

/* Whether v is one word of a shell; fractions and what has parts are not. */
static bool add_word(struct str *out, const struct json_value *v)
{
	if (v->type == JSON_TEXT)
		text_shell(out, v->text.p);
	else if (v->type == JSON_TRUE)
		str_addc(out, '1');
	else if (v->type == JSON_NULL)
		str_add(out, "''");
	else if (v->type == JSON_INTEGER)
		str_adds(out, v->text);
	else
		return v->type == JSON_FALSE;
	return true;
}

/* A variable for each member that has a shell's name and is a word, or a list or a table of words.
 */
static int add_variable(struct local *l, struct arena *a, const struct drv *d,
			const struct json_value *v, struct str *sh, struct err *e)
{
	auto_vec struct vec all = VEC_INIT;
	bool list = v->type == JSON_ARRAY, table = v->type == JSON_OBJECT, good = true;
	size_t before = sh->len;
	int r = list || table ? members(l, a, d, v->text, &all, e) : 0;
	if (r)
		return r;
	str_addf(sh, "declare %s%s=", list ? "-a " : table ? "-A " : "", v->key);
	if (!list && !table)
		good = add_word(sh, v);
	else
		str_addc(sh, '(');
	for (size_t i = 0; good && i < all.n; i++) {
		const struct json_value *part = all.v[i];
		if (table) {
			str_addc(sh, '[');
			text_shell(sh, part->key);
			str_add(sh, "]=");
		}
		good = add_word(sh, part);
		str_addc(sh, ' ');
	}
	str_add(sh, list || table ? ")\n" : "\n");
	if (!good)
		str_cut(sh, before);
	return 0;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Add a member, in place of one of that name. json: its value; empties it. */
static void put(struct arena *a, struct vec *all, const char *key, struct str *json)
{
	struct json_value *v = find(all, key);
	if (!v && (v = ARENA_NEW(a, struct json_value)))
		vec_add(all, v);
	if (v)
		*v = (struct json_value){ .key = arena_str(a, key),
					  .type = json->buf[0] == '[' ? JSON_ARRAY : JSON_OBJECT,
					  .text = { arena_slice(a, str_slice(json)), json->len } };
	if (str_err(json))
		a->err = -ENOMEM;
	str_cut(json, 0);
}

static void put_outputs(struct arena *a, const struct drv *d, struct vec *all)
{
	auto_str struct str json = STR_INIT;
	for (size_t i = 0; i < d->noutputs; i++) {
		str_addc(&json, i ? ',' : '{');
		text_json(&json, slice_of(d->outputs[i].id));
		str_addc(&json, ':');
		text_json(&json, slice_of(d->outputs[i].path));
	}
	str_addc(&json, '}');
	put(a, all, "outputs", &json);
}

/* Each member of exportReferencesGraph names a member to add, and the paths to describe there. */
static int put_graphs(struct local *l, struct arena *a, const struct drv *d,
		      const struct vec *inputs, struct vec *all, struct err *e)
{
	const char *key = dialect_key(l->dialect, KEY_EXPORT_REFERENCES_GRAPH);
	const struct json_value *v = find(all, key);
	auto_vec struct vec graphs = VEC_INIT;
	int r = v && v->type == JSON_OBJECT ? members(l, a, d, v->text, &graphs, e) : 0;
	for (size_t i = 0; !r && i < graphs.n; i++) {
		const struct json_value *graph = graphs.v[i];
		auto_str struct str json = STR_INIT;
		struct slice paths;
		r = get_words(l, a, d, graph, &paths, e);
		if (!r)
			r = refexport_json(l, a, inputs, paths, &json, e);
		if (!r)
			put(a, all, graph->key, &json);
	}
	return r;
}

static int by_key(const void *x, const void *y)
{
	const struct json_value *const *a = x, *const *b = y;
	return strcmp((*a)->key, (*b)->key);
}

int attrs_format(struct local *l, const struct drv *d, const struct vec *inputs, struct str *json,
		 struct str *sh, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec all = VEC_INIT;
	bool found;
	int r = members(l, &a, d, json_of(l, d, &found), &all, e);
	if (!r)
		r = put_graphs(l, &a, d, inputs, &all, e);
	put_outputs(&a, d, &all);
	if (!r && (arena_err(&a) || all.err))
		r = err_set(e, -ENOMEM, "out of memory");
	if (r)
		return r;
	qsort(all.v, all.n, sizeof(*all.v), by_key);
	for (size_t i = 0; !r && i < all.n; i++) {
		const struct json_value *v = all.v[i];
		str_addc(json, i ? ',' : '{');
		text_json(json, slice_of(v->key));
		str_addc(json, ':');
		if (v->type == JSON_TEXT)
			text_json(json, v->text);
		else
			str_adds(json, v->text);
		if (is_name(v->key))
			r = add_variable(l, &a, d, v, sh, e);
	}
	str_addc(json, '}');
	return r ? r : str_err(json) || str_err(sh) ? err_set(e, -ENOMEM, "out of memory") : 0;
}
