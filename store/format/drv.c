/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Derivations: the ATerm text, its canonical form, and hashDerivationModulo, the hash of a
 * derivation in which fixed outputs stand for themselves however they are fetched.
 */
#include <errno.h>

#include "lib/mem.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "store/limits.h"
#include "store/store.h"

/* ---- Reading ----------------------------------------------------------------------------------
 */

struct reader {
	const char *start, *p, *end;
	struct arena *a;
	const char *name;
	struct err *e;
	int r; /* sticky */
};

static void reader_fail(struct reader *s, const char *what)
{
	if (s->r < 0)
		return;
	s->r = err_set(s->e, -ERR_SYNTAX, "derivation '%s': byte %zu: %s", s->name,
		       (size_t)(s->p - s->start), what);
}

static bool reader_accept(struct reader *s, const char *text)
{
	size_t n = strlen(text);

	if (s->r < 0 || (size_t)(s->end - s->p) < n || memcmp(s->p, text, n))
		return false;
	s->p += n;
	return true;
}

static void reader_expect(struct reader *s, const char *text)
{
	char what[64];

	if (s->r < 0 || reader_accept(s, text))
		return;
	snprintf(what, sizeof(what), "expected '%s'%s", text,
		 s->p == s->end ? ", found the end of the text" : "");
	reader_fail(s, what);
}

/* Position of the closing quote, or NULL; *ret_escapes when there is something to unescape. */
static const char *reader_string_end(struct reader *s, bool *ret_escapes)
{
	*ret_escapes = false;
	for (const char *p = s->p; p < s->end; p++) {
		if (*p == '"')
			return p;
		if (*p == '\\') {
			*ret_escapes = true;
			p++;
		}
	}
	return NULL;
}

static char unescaped(char c)
{
	return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
}

static struct slice reader_string(struct reader *s)
{
	struct slice none = { "", 0 };
	const char *end;
	bool escapes;
	char *out;
	size_t n = 0;

	reader_expect(s, "\"");
	if (s->r < 0)
		return none;
	end = reader_string_end(s, &escapes);
	if (!end)
		return reader_fail(s, "the text ends inside a string"), none;
	if (memchr(s->p, 0, (size_t)(end - s->p)))
		return reader_fail(s, "NUL byte in a string"), none;
	out = arena_alloc(s->a, (size_t)(end - s->p) + 1);
	if (!out) {
		s->r = err_num(s->e, arena_err(s->a), "derivation '%s'", s->name);
		return none;
	}
	if (escapes) {
		for (const char *p = s->p; p < end; p++)
			out[n++] = *p == '\\' ? unescaped(*++p) : *p;
	} else {
		n = (size_t)(end - s->p);
		memcpy(out, s->p, n);
	}
	s->p = end + 1;
	return (struct slice){ out, n };
}

static const char *reader_cstr(struct reader *s)
{
	return reader_string(s).p;
}

static const char *reader_path(struct reader *s)
{
	struct slice v = reader_string(s);

	if (s->r == 0 && (!v.n || v.p[0] != '/'))
		reader_fail(s, "a path must begin with '/'");
	return v.p;
}

/* One list: elements of size bytes are collected by one() into an array in the arena. */
typedef void reader_item_fn(struct reader *s, void *place);

static size_t reader_list(struct reader *s, size_t size, reader_item_fn *one, void *ret_array)
{
	size_t n = 0, cap = 0;
	char *items = NULL, *bigger;

	reader_expect(s, "[");
	while (s->r == 0 && !reader_accept(s, "]")) {
		if (n)
			reader_expect(s, ",");
		if (n == LIMIT_DRV_ITEMS)
			reader_fail(s, "too many elements");
		if (n == cap) {
			cap = cap ? 2 * cap : 4;
			bigger = arena_array(s->a, cap, size);
			if (!bigger) {
				s->r = err_num(s->e, arena_err(s->a), "derivation '%s'", s->name);
				break;
			}
			if (n)
				memcpy(bigger, items, n * size);
			items = bigger;
		}
		if (s->r == 0)
			one(s, items + n++ * size);
	}
	*(void **)ret_array = items;
	return s->r == 0 ? n : 0;
}

static void read_output(struct reader *s, void *place)
{
	struct drv_output *o = place;

	reader_expect(s, "(");
	o->id = reader_cstr(s);
	reader_expect(s, ",");
	o->path = reader_path(s);
	reader_expect(s, ",");
	o->algo = reader_cstr(s);
	reader_expect(s, ",");
	o->hash = reader_cstr(s);
	reader_expect(s, ")");
}

static void read_output_name(struct reader *s, void *place)
{
	*(const char **)place = reader_cstr(s);
}

static void read_input(struct reader *s, void *place)
{
	struct drv_input *i = place;

	reader_expect(s, "(");
	i->path = reader_path(s);
	reader_expect(s, ",");
	i->noutputs = reader_list(s, sizeof(char *), read_output_name, &i->outputs);
	reader_expect(s, ")");
}

static void read_source(struct reader *s, void *place)
{
	*(const char **)place = reader_path(s);
}

static void read_arg(struct reader *s, void *place)
{
	*(struct slice *)place = reader_string(s);
}

static void read_env(struct reader *s, void *place)
{
	struct drv_env *v = place;

	reader_expect(s, "(");
	v->name = reader_string(s);
	reader_expect(s, ",");
	v->value = reader_string(s);
	reader_expect(s, ")");
}

/* ---- Order ------------------------------------------------------------------------------------
 */

static int output_cmp(const void *a, const void *b)
{
	return strcmp(((const struct drv_output *)a)->id, ((const struct drv_output *)b)->id);
}

static int input_cmp(const void *a, const void *b)
{
	return strcmp(((const struct drv_input *)a)->path, ((const struct drv_input *)b)->path);
}

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int env_cmp(const void *a, const void *b)
{
	return slice_cmp(((const struct drv_env *)a)->name, ((const struct drv_env *)b)->name);
}

static void sort(void *p, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	const char *q = p;

	/* Usually it is in order already. */
	for (size_t i = 1; i < n; i++)
		if (cmp(q + (i - 1) * size, q + i * size) > 0) {
			qsort(p, n, size, cmp);
			return;
		}
}

static bool has_repeats(const void *p, size_t n, size_t size,
			int (*cmp)(const void *, const void *))
{
	const char *q = p;

	for (size_t i = 1; i < n; i++)
		if (!cmp(q + (i - 1) * size, q + i * size))
			return true;
	return false;
}

/* Sort all lists of a derivation that is ours to change. */
static void drv_sort(struct drv *d)
{
	sort(d->outputs, d->noutputs, sizeof(*d->outputs), output_cmp);
	sort(d->inputs, d->ninputs, sizeof(*d->inputs), input_cmp);
	for (size_t i = 0; i < d->ninputs; i++)
		sort((void *)(uintptr_t)d->inputs[i].outputs, d->inputs[i].noutputs, sizeof(char *),
		     text_cmp);
	sort(d->sources, d->nsources, sizeof(*d->sources), text_cmp);
	sort(d->env, d->nenv, sizeof(*d->env), env_cmp);
}

/* ---- Checks -----------------------------------------------------------------------------------
 */

/* "r:sha256" and hex digits to their parts. */
static int output_hash(const struct drv_output *o, bool *ret_recursive, struct digest *ret)
{
	struct slice algo = slice_of(o->algo), hash = slice_of(o->hash);
	bool recursive = slice_starts(algo, "r:");
	enum digest_algo which;
	int r;

	if (recursive)
		algo = (struct slice){ algo.p + 2, algo.n - 2 };
	r = digest_algo_parse(algo, &which);
	if (r < 0)
		return r;
	if (hash.n != 2 * digest_size(which))
		return -ERR_SYNTAX;
	r = digest_parse(which, hash, ret);
	if (r < 0)
		return r;
	*ret_recursive = recursive;
	return 0;
}

static int check_outputs_form(const struct drv *d, struct err *e)
{
	struct digest h;
	bool rec;

	if (!d->noutputs)
		return err_set(e, -ERR_INVALID, "derivation '%s' has no outputs", d->name);
	for (size_t i = 0; i < d->noutputs; i++) {
		const struct drv_output *o = &d->outputs[i];

		if (store_name_check(slice_of(o->id), e) < 0)
			return err_wrap(e, -ERR_INVALID, "derivation '%s': output", d->name);
		if (!*o->algo && !*o->hash)
			continue;
		if (output_hash(o, &rec, &h) < 0)
			return err_set(e, -ERR_INVALID,
				       "derivation '%s': output '%s' has the hash \"%.20s\" "
				       "\"%.140s\", which is none",
				       d->name, o->id, o->algo, o->hash);
		if (!drv_is_fixed(d))
			return err_set(e, -ERR_INVALID,
				       "derivation '%s': an output with a hash must be the only "
				       "one and be called 'out'",
				       d->name);
	}
	return 0;
}

static int check_repeats(const struct drv *d, struct err *e)
{
	const char *what = NULL;

	if (has_repeats(d->outputs, d->noutputs, sizeof(*d->outputs), output_cmp))
		what = "an output";
	else if (has_repeats(d->inputs, d->ninputs, sizeof(*d->inputs), input_cmp))
		what = "an input";
	else if (has_repeats(d->sources, d->nsources, sizeof(*d->sources), text_cmp))
		what = "a source";
	else if (has_repeats(d->env, d->nenv, sizeof(*d->env), env_cmp))
		what = "a variable";
	for (size_t i = 0; !what && i < d->ninputs; i++)
		if (has_repeats(d->inputs[i].outputs, d->inputs[i].noutputs, sizeof(char *),
				text_cmp))
			what = "an output of an input";
	if (what)
		return err_set(e, -ERR_INVALID, "derivation '%s' names %s twice", d->name, what);
	return 0;
}

int drv_parse(struct arena *a, const char *name, struct slice text, struct drv **ret, struct err *e)
{
	struct reader s = { text.p, text.p, text.p + text.n, a, name, e, 0 };
	struct drv *d;

	if (text.n > LIMIT_DRV_TEXT)
		return err_set(e, -ERR_LIMIT, "derivation '%s' is larger than %u MiB", name,
			       LIMIT_DRV_TEXT >> 20);
	d = ARENA_NEW(a, struct drv);
	if (!d || !(d->name = arena_str(a, name)))
		return err_num(e, arena_err(a), "derivation '%s'", name);
	reader_expect(&s, "Derive(");
	d->noutputs = reader_list(&s, sizeof(*d->outputs), read_output, &d->outputs);
	reader_expect(&s, ",");
	d->ninputs = reader_list(&s, sizeof(*d->inputs), read_input, &d->inputs);
	reader_expect(&s, ",");
	d->nsources = reader_list(&s, sizeof(*d->sources), read_source, &d->sources);
	reader_expect(&s, ",");
	d->system = reader_cstr(&s);
	reader_expect(&s, ",");
	d->builder = reader_cstr(&s);
	reader_expect(&s, ",");
	d->nargs = reader_list(&s, sizeof(*d->args), read_arg, &d->args);
	reader_expect(&s, ",");
	d->nenv = reader_list(&s, sizeof(*d->env), read_env, &d->env);
	reader_expect(&s, ")");
	if (s.r == 0 && s.p != s.end)
		reader_fail(&s, "there is more text after the derivation");
	if (s.r < 0)
		return s.r;
	drv_sort(d);
	s.r = check_outputs_form(d, e);
	if (s.r == 0)
		s.r = check_repeats(d, e);
	if (s.r < 0)
		return s.r;
	*ret = d;
	return 0;
}

/* ---- Writing ----------------------------------------------------------------------------------
 */

static void write_string(struct str *out, struct slice v)
{
	size_t from = 0;

	str_addc(out, '"');
	for (size_t i = 0; i < v.n; i++) {
		const char *seq = NULL;

		switch (v.p[i]) {
		case '"':
			seq = "\\\"";
			break;
		case '\\':
			seq = "\\\\";
			break;
		case '\n':
			seq = "\\n";
			break;
		case '\r':
			seq = "\\r";
			break;
		case '\t':
			seq = "\\t";
			break;
		}
		if (!seq)
			continue;
		str_addn(out, v.p + from, i - from);
		str_add(out, seq);
		from = i + 1;
	}
	if (v.n > from)
		str_addn(out, v.p + from, v.n - from);
	str_addc(out, '"');
}

static void write_cstr(struct str *out, const char *v)
{
	write_string(out, slice_of(v));
}

static void write_texts(struct str *out, const char *const *v, size_t n)
{
	str_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			str_addc(out, ',');
		write_cstr(out, v[i]);
	}
	str_addc(out, ']');
}

static void write_outputs(struct str *out, const struct drv *d)
{
	for (size_t i = 0; i < d->noutputs; i++) {
		const struct drv_output *o = &d->outputs[i];

		str_add(out, i ? ",(" : "(");
		write_cstr(out, o->id);
		str_addc(out, ',');
		write_cstr(out, o->path);
		str_addc(out, ',');
		write_cstr(out, o->algo);
		str_addc(out, ',');
		write_cstr(out, o->hash);
		str_addc(out, ')');
	}
}

static void write_env(struct str *out, const struct drv *d)
{
	for (size_t i = 0; i < d->nenv; i++) {
		str_add(out, i ? ",(" : "(");
		write_string(out, d->env[i].name);
		str_addc(out, ',');
		write_string(out, d->env[i].value);
		str_addc(out, ')');
	}
}

/* The text of a derivation whose lists are sorted. */
static void write_sorted(const struct drv *d, struct str *out)
{
	str_add(out, "Derive([");
	write_outputs(out, d);
	str_add(out, "],[");
	for (size_t i = 0; i < d->ninputs; i++) {
		str_add(out, i ? ",(" : "(");
		write_cstr(out, d->inputs[i].path);
		str_addc(out, ',');
		write_texts(out, d->inputs[i].outputs, d->inputs[i].noutputs);
		str_addc(out, ')');
	}
	str_add(out, "],");
	write_texts(out, d->sources, d->nsources);
	str_addc(out, ',');
	write_cstr(out, d->system);
	str_addc(out, ',');
	write_cstr(out, d->builder);
	str_add(out, ",[");
	for (size_t i = 0; i < d->nargs; i++) {
		if (i)
			str_addc(out, ',');
		write_string(out, d->args[i]);
	}
	str_add(out, "],[");
	write_env(out, d);
	str_add(out, "])");
}

/* Shallow copy whose lists may be sorted and changed. NULL: no memory. */
static struct drv *drv_copy(struct arena *a, const struct drv *d)
{
	struct drv *c = arena_dup(a, d, sizeof(*d));

	if (!c)
		return NULL;
	c->outputs = arena_dup(a, d->outputs, d->noutputs * sizeof(*d->outputs));
	c->inputs = arena_dup(a, d->inputs, d->ninputs * sizeof(*d->inputs));
	c->sources = arena_dup(a, d->sources, d->nsources * sizeof(*d->sources));
	c->env = arena_dup(a, d->env, d->nenv * sizeof(*d->env));
	for (size_t i = 0; c->inputs && i < d->ninputs; i++)
		c->inputs[i].outputs =
			arena_dup(a, d->inputs[i].outputs, d->inputs[i].noutputs * sizeof(char *));
	if (arena_err(a) < 0)
		return NULL;
	drv_sort(c);
	return c;
}

void drv_format(const struct drv *d, struct str *out)
{
	auto_arena struct arena a = ARENA_INIT;
	struct drv *c = drv_copy(&a, d);

	if (c)
		write_sorted(c, out);
	else
		out->err = -ENOMEM;
}

/* ---- Questions --------------------------------------------------------------------------------
 */

bool drv_is_fixed(const struct drv *d)
{
	return d->noutputs == 1 && !strcmp(d->outputs[0].id, "out") && *d->outputs[0].hash;
}

const struct drv_output *drv_output(const struct drv *d, const char *id)
{
	for (size_t i = 0; i < d->noutputs; i++)
		if (!strcmp(d->outputs[i].id, id))
			return &d->outputs[i];
	return NULL;
}

struct slice drv_env(const struct drv *d, const char *name, bool *ret_found)
{
	for (size_t i = 0; i < d->nenv; i++)
		if (slice_is(d->env[i].name, name)) {
			if (ret_found)
				*ret_found = true;
			return d->env[i].value;
		}
	if (ret_found)
		*ret_found = false;
	return (struct slice){ "", 0 };
}

/* ---- Hash modulo ------------------------------------------------------------------------------
 */

/* Replace the paths of inputs by their hashes, in the order of the hashes. Of two inputs with one
 * hash the later by path stays: that is what the daemons that check us do. */
static int inputs_to_hashes(struct arena *a, struct drv *c, drv_modulo_fn *input, void *arg,
			    struct err *e)
{
	char hex[DIGEST_TEXT_MAX];
	auto_tab struct tab seen = TAB_INIT;
	size_t n = 0;

	for (size_t i = 0; i < c->ninputs; i++) {
		struct drv_input in = c->inputs[i], **slot;
		struct digest h;
		int r = input(arg, in.path, &h, e);

		if (r < 0)
			return err_wrap(e, r, "input of derivation '%s'", c->name);
		digest_hex(&h, hex);
		in.path = arena_str(a, hex);
		slot = in.path ? (struct drv_input **)tab_put(&seen, slice_of(in.path), NULL)
			       : NULL;
		if (!slot)
			return err_num(e, -ENOMEM, "derivation '%s'", c->name);
		if (!*slot)
			*slot = &c->inputs[n++];
		**slot = in;
	}
	c->ninputs = n;
	qsort(c->inputs, n, sizeof(*c->inputs), input_cmp);
	return 0;
}

static struct digest fixed_modulo(const struct drv_output *o, struct str *s)
{
	str_addf(s, "fixed:out:%s:%s:%s", o->algo, o->hash, o->path);
	return digest_of(DIGEST_SHA256, s->buf, s->len);
}

/* Hash of c, a copy, with its inputs replaced. */
static int modulo_of_copy(struct arena *a, struct drv *c, drv_modulo_fn *input, void *arg,
			  struct digest *ret, struct err *e)
{
	auto_str struct str s = STR_INIT;
	struct digest d;
	int r;

	if (drv_is_fixed(c)) {
		d = fixed_modulo(&c->outputs[0], &s);
	} else {
		r = inputs_to_hashes(a, c, input, arg, e);
		if (r < 0)
			return r;
		write_sorted(c, &s);
		d = digest_of(DIGEST_SHA256, s.buf, s.len);
	}
	if (str_err(&s) < 0)
		return err_num(e, str_err(&s), "derivation '%s'", c->name);
	*ret = d;
	return 0;
}

int drv_modulo(const struct drv *d, drv_modulo_fn *input, void *arg, struct digest *ret,
	       struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct drv *c = drv_copy(&a, d);

	if (!c)
		return err_num(e, -ENOMEM, "derivation '%s'", d->name);
	return modulo_of_copy(&a, c, input, arg, ret, e);
}

/* ---- Output paths -----------------------------------------------------------------------------
 */

/* Where each variable is: the number of outputs may be that of variables, and both large. */
static int env_places(const struct drv *d, struct tab *ret)
{
	for (size_t i = 0; i < d->nenv; i++) {
		void **place = tab_put(ret, d->env[i].name, NULL);

		if (!place)
			return -ENOMEM;
		if (!*place)
			*place = &d->env[i];
	}
	return 0;
}

/* Set the variables that have the names of outputs to values, or all to "" (NULL); those that are
 * absent are added. The array is in a. */
static int env_set_outputs(struct arena *a, struct drv *d, const char *const *values)
{
	auto_tab struct tab places = TAB_INIT;
	struct drv_env *all = arena_array(a, d->nenv + d->noutputs, sizeof(*all));
	int r;

	if (!all)
		return -ENOMEM;
	if (d->nenv)
		memcpy(all, d->env, d->nenv * sizeof(*all));
	d->env = all;
	r = env_places(d, &places);
	for (size_t i = 0; r == 0 && i < d->noutputs; i++) {
		struct slice id = slice_of(d->outputs[i].id);
		struct drv_env **place = (struct drv_env **)tab_put(&places, id, NULL);

		if (!place)
			return -ENOMEM;
		if (!*place) {
			*place = &all[d->nenv++];
			(*place)->name = id;
		}
		(*place)->value = slice_of(values ? values[i] : "");
	}
	return r;
}

/* The hash of d with its own output paths masked. */
static int masked_modulo(const struct drv *d, drv_modulo_fn *input, void *arg, struct digest *ret,
			 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct drv *c = drv_copy(&a, d);
	int r = c ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < d->noutputs; i++)
		c->outputs[i].path = "";
	if (r == 0)
		r = env_set_outputs(&a, c, NULL);
	if (r < 0)
		return err_num(e, r, "derivation '%s'", d->name);
	drv_sort(c);
	return modulo_of_copy(&a, c, input, arg, ret, e);
}

/* Paths of all outputs, in the order of d->outputs. */
static int output_paths(struct arena *a, const char *store_dir, const struct drv *d,
			drv_modulo_fn *input, void *arg, const char **ret, struct err *e)
{
	struct slice name = slice_of(d->name);
	struct digest h;
	bool recursive;
	int r;

	if (drv_is_fixed(d)) {
		if (output_hash(&d->outputs[0], &recursive, &h) < 0)
			return err_set(e, -ERR_INVALID, "derivation '%s': \"%s\" \"%s\" is no hash",
				       d->name, d->outputs[0].algo, d->outputs[0].hash);
		ret[0] = store_path_fixed(a, store_dir, name, recursive, &h, e);
		return ret[0] ? 0 : -ERR_INVALID;
	}
	r = masked_modulo(d, input, arg, &h, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < d->noutputs; i++) {
		ret[i] = store_path_output(a, store_dir, name, d->outputs[i].id, &h, e);
		if (!ret[i])
			return -ERR_INVALID;
	}
	return 0;
}

int drv_fill_outputs(struct arena *a, const char *store_dir, struct drv *d, drv_modulo_fn *input,
		     void *arg, struct err *e)
{
	const char **paths = arena_array(a, d->noutputs, sizeof(*paths));
	int r;

	if (!paths)
		return err_num(e, -ENOMEM, "derivation '%s'", d->name);
	r = output_paths(a, store_dir, d, input, arg, paths, e);
	for (size_t i = 0; r == 0 && i < d->noutputs; i++)
		d->outputs[i].path = paths[i];
	if (r == 0 && env_set_outputs(a, d, paths) < 0)
		r = err_num(e, -ENOMEM, "derivation '%s'", d->name);
	return r;
}

int drv_check_outputs(const char *store_dir, const struct drv *d, drv_modulo_fn *input, void *arg,
		      struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_tab struct tab places = TAB_INIT;
	const char **paths = arena_array(&a, d->noutputs, sizeof(*paths));
	int r;

	if (!paths || env_places(d, &places) < 0)
		return err_num(e, -ENOMEM, "derivation '%s'", d->name);
	r = output_paths(&a, store_dir, d, input, arg, paths, e);
	for (size_t i = 0; r == 0 && i < d->noutputs; i++) {
		const struct drv_output *o = &d->outputs[i];
		const struct drv_env *v = tab_find(&places, slice_of(o->id));

		if (strcmp(o->path, paths[i]))
			return err_set(e, -ERR_INVALID,
				       "derivation '%s' has incorrect output '%s' for '%s': it "
				       "should be '%s'",
				       d->name, o->path, o->id, paths[i]);
		if (!v || !slice_is(v->value, o->path))
			return err_set(e, -ERR_INVALID,
				       "derivation '%s': the variable '%s' must be '%s'", d->name,
				       o->id, o->path);
	}
	return r;
}

char *drv_path(struct arena *a, const char *store_dir, const struct drv *d, struct err *e)
{
	auto_str struct str text = STR_INIT, name = STR_INIT;
	auto_vec struct vec refs = VEC_INIT;

	drv_format(d, &text);
	str_addf(&name, "%s.drv", d->name);
	for (size_t i = 0; i < d->ninputs; i++)
		vec_add(&refs, (void *)(uintptr_t)d->inputs[i].path);
	for (size_t i = 0; i < d->nsources; i++)
		vec_add(&refs, (void *)(uintptr_t)d->sources[i]);
	if (str_err(&text) < 0 || str_err(&name) < 0 || refs.err < 0)
		return err_num(e, -ENOMEM, "derivation '%s'", d->name), NULL;
	return store_path_text(a, store_dir, str_slice(&name), str_slice(&text),
			       (const char *const *)refs.v, refs.n, e);
}
