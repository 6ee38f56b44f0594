/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/packages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"

#define SPEC_PIECE 32768 /* bytes of one variable: the kernel takes 128 KiB */

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- From names to packages ------------------------------------------------------------------ */

int packages_evaluate(const struct packages_request *q, struct sys_eval **ret_ev, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str names = STR_INIT;
	const char *args[2];

	for (size_t i = 0; q->names && i < q->names->n; i++) {
		if (strchr(q->names->v[i], '\n') || !*(const char *)q->names->v[i])
			return err_set(e, -ERR_USAGE, "'%s' is not the name of a package",
				       (const char *)q->names->v[i]);
		str_addf(&names, "%s\n", (const char *)q->names->v[i]);
	}
	args[0] = arena_fmt(&a, "action=%s", q->action);
	args[1] = arena_fmt(&a, "names=%s", names.buf);
	if (str_err(&names) || arena_err(&a))
		return no_memory(e);
	struct sys_eval_request req = { .kind = q->file ? SYS_EVAL_FILE : SYS_EVAL_EXPR,
					.text = q->file ? q->file : "true",
					.apply = "system.packages",
					.args = args,
					.nargs = ARRAY_LEN(args) };
	return sys_eval_run(q->eval, &req, ret_ev, e);
}

const char *packages_text(const struct sys_eval *ev, unsigned i, const char *field)
{
	char key[64];
	const char *v;

	snprintf(key, sizeof(key), "%u %s", i, field);
	v = sys_eval_value(ev, key);
	return v ? v : "";
}

int packages_entries(const struct sys_eval *ev, struct arena *a, struct vec *ret, struct err *e)
{
	for (unsigned i = 1;; i++) {
		struct profile_entry *x = ARENA_NEW(a, struct profile_entry);
		char key[16];

		snprintf(key, sizeof(key), "%u", i);
		if (!sys_eval_find(ev, key))
			return 0;
		if (!x)
			return no_memory(e);
		x->path = sys_eval_value(ev, key);
		x->name = packages_text(ev, i, "name");
		x->version = packages_text(ev, i, "version");
		x->output = packages_text(ev, i, "output");
		vec_add(ret, x);
		if (ret->err)
			return no_memory(e);
	}
}

/* ---- The item of a profile ------------------------------------------------------------------- */

/* This program, when it lies in the store; *ret NULL: it does not. A profile needs no newer one,
 * and nothing has to be built first. */
static int own_program(struct store_conn *c, struct arena *a, const char **ret, struct err *e)
{
	auto_str struct str exe = STR_INIT;
	size_t n = strlen(store_conn_root(c));
	struct err ignored = ERR_INIT;
	bool valid = false;
	const char *path;
	int r;

	*ret = NULL;
	if (file_readlink(AT_FDCWD, "/proc/self/exe", &exe, &ignored) < 0)
		return 0;
	path = n && strncmp(exe.buf, store_conn_root(c), n) == 0 ? exe.buf + n : exe.buf;
	struct slice item = store_path_item(store_conn_dir(c), slice_of(path));
	char *name = item.n ? arena_slice(a, item) : NULL;
	if (!name || !slice_ends(slice_of(path), "/bin/cairn"))
		return 0;
	r = store_is_valid(c, name, &valid, e);
	if (r == 0 && valid)
		*ret = arena_str(a, path);
	return r;
}

/* The program that makes the tree: NAME/bin/cairn of a valid item. */
static int find_builder(struct store_conn *c, const struct sys_eval_opts *eval, struct arena *a,
			const char **ret, struct err *e)
{
	struct sys_eval_request req = { .kind = SYS_EVAL_EXPR,
					.text = "require('system.tools').cairn" };
	struct sys_eval *ev = NULL;
	int r = own_program(c, a, ret, e);

	if (r < 0 || *ret)
		return r;
	r = sys_eval_run(eval, &req, &ev, e);
	if (r == 0)
		r = sys_eval_build(ev, c, NULL, e);
	if (r == 0)
		r = store_add_temp_root(c, sys_eval_at(ev, 0)->value, e);
	if (r == 0) {
		*ret = arena_fmt(a, "%s/bin/cairn", sys_eval_at(ev, 0)->value);
		r = *ret ? 0 : no_memory(e);
	}
	sys_eval_free(ev);
	return r;
}

/* The description of the tree (system/tree.h). */
static int describe(const struct vec *entries, struct str *out, struct err *e)
{
	auto_str struct str manifest = STR_INIT;
	char *hex;

	str_add(out, "[union .]\nunique = yes\nfrom =");
	for (size_t i = 0; i < entries->n; i++)
		str_addf(out, " %s", ((const struct profile_entry *)entries->v[i])->path);
	profile_manifest_text(entries, &manifest);
	if (str_err(&manifest))
		return no_memory(e);
	str_add(out, "\n[file manifest]\nhex = ");
	hex = str_room(out, 2 * manifest.len + 1);
	if (!hex)
		return no_memory(e);
	text_hex((const uint8_t *)manifest.buf, manifest.len, hex);
	str_grown(out, 2 * manifest.len);
	str_add(out, "\n");
	return str_err(out) ? no_memory(e) : 0;
}

/* Variables spec, spec1, … and what says that it is quickest made here. */
static int set_env(struct arena *a, struct drv *d, const struct str *spec, struct err *e)
{
	size_t pieces = spec->len / SPEC_PIECE + 1, n = 0;

	d->env = arena_array(a, pieces + 2, sizeof(*d->env));
	if (!d->env)
		return no_memory(e);
	for (size_t i = 0; i < pieces; i++) {
		size_t at = i * SPEC_PIECE;
		char *name = i ? arena_fmt(a, "spec%zu", i) : arena_str(a, "spec");
		struct slice part = { spec->buf + at, MIN_OF(spec->len - at, (size_t)SPEC_PIECE) };
		char *value = arena_slice(a, part);

		if (!name || !value)
			return no_memory(e);
		d->env[n++] = (struct drv_env){ slice_of(name), { value, part.n } };
	}
	d->env[n++] = (struct drv_env){ SLICE("preferLocalBuild"), SLICE("1") };
	d->env[n++] = (struct drv_env){ SLICE("allowSubstitutes"), SLICE("") };
	d->nenv = n;
	return 0;
}

static int make_drv(struct store_conn *c, struct arena *a, const char *builder,
		    const struct vec *entries, struct drv *d, struct err *e)
{
	static struct slice args[2];
	auto_str struct str spec = STR_INIT;
	auto_vec struct vec sources = VEC_INIT;
	int r = describe(entries, &spec, e);

	args[0] = SLICE("builder");
	args[1] = SLICE("tree");
	for (size_t i = 0; i < entries->n; i++)
		vec_add(&sources, (void *)((const struct profile_entry *)entries->v[i])->path);
	vec_add(&sources, arena_slice(a, store_path_item(store_conn_dir(c), slice_of(builder))));
	if (sources.err || arena_err(a))
		return no_memory(e);
	vec_sort_str(&sources);
	vec_uniq_str(&sources);
	*d = (struct drv){ .name = "profile",
			   .noutputs = 1,
			   .outputs = arena_array(a, 1, sizeof(*d->outputs)),
			   .nsources = sources.n,
			   .sources = arena_dup(a, sources.v, sources.n * sizeof(*sources.v)),
			   .system = "x86_64-linux",
			   .builder = builder,
			   .args = args,
			   .nargs = 2 };
	if (arena_err(a))
		return no_memory(e);
	d->outputs[0] = (struct drv_output){ "out", "", "", "" };
	if (r == 0)
		r = set_env(a, d, &spec, e);
	return r < 0 ? r : drv_fill_outputs(a, store_conn_dir(c), d, NULL, NULL, e);
}

int profile_build(struct store_conn *c, const struct sys_eval_opts *eval, const struct vec *entries,
		  struct arena *a, char **ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	const char *builder = NULL, *thing;
	struct drv d;
	char *drv;
	int r = find_builder(c, eval, a, &builder, e);

	if (r == 0)
		r = make_drv(c, a, builder, entries, &d, e);
	if (r < 0)
		return r;
	drv_format(&d, &text);
	if (str_err(&text))
		return no_memory(e);
	r = store_add_text(c, a, "profile.drv", str_slice(&text), d.sources, d.nsources, &drv, e);
	thing = r == 0 ? arena_fmt(a, "%s!out", drv) : NULL;
	if (r == 0)
		r = thing ? store_build(c, &thing, 1, e) : no_memory(e);
	*ret = (char *)d.outputs[0].path;
	return r;
}

/* ---- A new generation ------------------------------------------------------------------------ */

/* Whether links of the profile are found by collections without being told of. */
static bool is_known_place(const struct profile *p, struct store_conn *c)
{
	auto_arena struct arena a = ARENA_INIT;
	char *top = arena_fmt(&a, "%s%s/profiles", store_conn_root(c), store_conn_state(c));
	char *real = top ? realpath(top, NULL) : NULL;
	bool known = real && path_is_below(p->links.dir, real);

	free(real);
	return known;
}

/* Until its link is made the item is kept by the connection. */
int profile_commit(struct profile *p, struct store_conn *c, const char *item, unsigned *ret_number,
		   struct err *e)
{
	unsigned number = profile_next(p);
	char *link = profile_gen_link(p, number);
	int r = store_add_temp_root(c, item, e);

	if (r == 0 && !link)
		r = no_memory(e);
	if (r == 0 && number > LINKS_NUMBER_MAX)
		r = err_set(e, -ERR_LIMIT, "generation number %u is too large", number);
	if (r == 0)
		r = is_known_place(p, c) ? file_symlink_atomic(AT_FDCWD, item, link, e)
					 : store_add_root(c, link, item, e);
	if (r == 0)
		r = profile_select(p, number, e);
	if (r == 0)
		*ret_number = number;
	return r;
}
