/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/buildenv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "store/build/attrs.h"
#include "store/build/placeholder.h"
#include "store/build/refexport.h"

struct vars {
	struct arena *a;
	struct tab seen; /* name -> index + 1 */
	struct vec v;
};

static void set(struct vars *x, struct slice name, struct slice value)
{
	char *text = arena_alloc(x->a, name.n + value.n + 2);
	if (!text)
		return;
	memcpy(text, name.p, name.n);
	text[name.n] = '=';
	memcpy(text + name.n + 1, value.p, value.n);
	bool fresh;
	void **slot = tab_put(&x->seen, (struct slice){ text, name.n }, &fresh);
	if (!slot)
		return;
	if (fresh) {
		vec_add(&x->v, text);
		*slot = (void *)(uintptr_t)x->v.n;
	} else {
		x->v.v[(uintptr_t)*slot - 1] = text;
	}
}

static void set_text(struct vars *x, const char *name, const char *value)
{
	set(x, slice_of(name), slice_of(value));
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Next word of a white-space list; empty at the end. */
static struct slice next_word(struct slice *list)
{
	while (list->n && blank(*list->p)) {
		list->p++;
		list->n--;
	}
	struct slice w = { list->p, 0 };
	while (w.n < list->n && !blank(w.p[w.n]))
		w.n++;
	list->p += w.n;
	list->n -= w.n;
	return w;
}

/* Names of the daemon's environment that no derivation may have: they steer loaders and tools. */
static bool may_inherit(const char *name)
{
	return strncmp(name, "LD_", 3) != 0 && strncmp(name, "BASH_FUNC", 9) != 0;
}

static bool has_word(struct slice list, struct slice word)
{
	for (struct slice w; (w = next_word(&list)).n;)
		if (slice_eq(w, word))
			return true;
	return false;
}

/* Where a variable that is passed as a file lies in the build directory. */
static void file_name(struct slice variable, char out[DIGEST_TEXT_MAX + 8])
{
	struct digest d = digest_of(DIGEST_SHA256, variable.p, variable.n);
	char text[DIGEST_TEXT_MAX];
	digest_base32(&d, text);
	snprintf(out, DIGEST_TEXT_MAX + 8, ".attr-%s", text);
}

/* "NAMEPath": the file's place, instead of the value. */
static void set_file(struct vars *x, struct slice name, const char *cwd)
{
	char file[DIGEST_TEXT_MAX + 8];
	file_name(name, file);
	const char *path = arena_fmt(x->a, "%s/%s", cwd, file);
	const char *variable = arena_fmt(x->a, "%.*sPath", (int)name.n, name.p);
	if (path && variable)
		set_text(x, variable, path);
}

/* The derivation's own variables, but for those that are passed as files. */
static int set_derivation(struct vars *x, const struct local *l, const struct drv *d,
			  struct slice files, const char *cwd, struct err *e)
{
	for (size_t i = 0; i < d->nenv; i++) {
		const struct drv_env *v = &d->env[i];
		bool bad = !v->name.n || memchr(v->name.p, '=', v->name.n) ||
			   memchr(v->name.p, 0, v->name.n) ||
			   (v->value.n && memchr(v->value.p, 0, v->value.n));
		if (bad)
			return err_set(e, -ERR_BUILD,
				       "the environment of derivation `%s' has a malformed entry",
				       d->name);
		if (has_word(files, v->name))
			set_file(x, v->name, cwd);
		else if (l->dialect == DIALECT_NIX)
			set(x, v->name, placeholder_fill(x->a, d, v->value));
		else
			set(x, v->name, v->value);
	}
	return 0;
}

static void set_structured(struct vars *x, const char *cwd)
{
	const char *json = arena_fmt(x->a, "%s/" ATTRS_JSON, cwd);
	const char *sh = arena_fmt(x->a, "%s/" ATTRS_SH, cwd);
	if (!json || !sh)
		return;
	set_text(x, "NIX_ATTRS_JSON_FILE", json);
	set_text(x, "NIX_ATTRS_SH_FILE", sh);
}

static int set_own(struct vars *x, struct local *l, const struct drv *d, const char *cwd,
		   struct err *e)
{
	struct attr files;
	if (attrs_structured(l, d)) {
		set_structured(x, cwd);
		return 0;
	}
	int r = attrs_get(l, x->a, d, KEY_PASS_AS_FILE, &files, e);
	return r ? r : set_derivation(x, l, d, files.words, cwd, e);
}

/* Of fixed outputs: variables of the daemon's. */
static int set_impure(struct vars *x, struct local *l, const struct drv *d, struct err *e)
{
	struct attr names;
	int r = attrs_get(l, x->a, d, KEY_IMPURE_ENV_VARS, &names, e);
	for (struct slice w; !r && drv_is_fixed(d) && (w = next_word(&names.words)).n;) {
		const char *name = arena_slice(x->a, w);
		const char *value = name && may_inherit(name) ? getenv(name) : NULL;
		set(x, w, slice_of(value ? value : ""));
	}
	return r;
}

int buildenv_vars(struct session *s, struct arena *a, const struct drv *d, const char *cwd,
		  const char *const **ret, struct err *e)
{
	static const char *const tops[] = { "NIX_BUILD_TOP", "TMPDIR", "TEMPDIR",
					    "TMP",	     "TEMP",   "PWD" };
	struct vars x = { .a = a, .seen = TAB_INIT, .v = VEC_INIT };
	char cores[24];
	snprintf(cores, sizeof(cores), "%llu", (unsigned long long)s->cores);
	set_text(&x, "PATH", "/path-not-set");
	set_text(&x, "HOME", "/homeless-shelter");
	set_text(&x, "NIX_STORE", s->l->store_dir);
	set_text(&x, "NIX_BUILD_CORES", cores);
	int r = set_own(&x, s->l, d, cwd, e);
	for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++)
		set_text(&x, tops[i], cwd);
	if (s->l->dialect == DIALECT_NIX && drv_is_fixed(d))
		set_text(&x, "NIX_OUTPUT_CHECKED", "1");
	if (!r)
		r = set_impure(&x, s->l, d, e);
	if (s->l->dialect == DIALECT_NIX) {
		set_text(&x, "NIX_LOG_FD", "2");
		set_text(&x, "TERM", "xterm-256color");
	}
	vec_add(&x.v, NULL);
	const char **list = arena_dup(a, x.v.v, x.v.n * sizeof(void *));
	if (!r && (!list || x.v.err || x.seen.err || arena_err(a)))
		r = err_set(e, -ENOMEM, "out of memory");
	vec_done(&x.v);
	tab_done(&x.seen);
	if (!r)
		*ret = list;
	return r;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Where the files go, and whose they are. */
struct place {
	int dirfd;
	uid_t uid;
	gid_t gid;
};

/* A file of the build directory, the builder's own. */
static int write_file(const struct place *to, const char *name, struct slice text, struct err *e)
{
	auto_fd int fd = openat(to->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "cannot write the file %s of the build directory", name);
	int r = fd_write_full(fd, text.p, text.n);
	if (r)
		return err_num(e, r, "cannot write the file %s of the build directory", name);
	if (fchown(fd, to->uid, to->gid) < 0)
		return err_sys(e, "cannot give away the file %s of the build directory", name);
	return 0;
}

static int write_graph(struct local *l, const struct vec *inputs, const char *name,
		       const char *path, const struct place *to, struct err *e)
{
	if (!*name || strchr(name, '/') || name[0] == '.')
		return err_set(e, -ERR_BUILD, "bad file name `%s' in exportReferencesGraph", name);
	auto_str struct str text = STR_INIT;
	int r = refexport_text(l, inputs, path, &text, e);
	return r ? r : write_file(to, name, str_slice(&text), e);
}

static int write_graphs(struct local *l, const struct drv *d, const struct vec *inputs,
			const struct place *to, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct attr list;
	int r = attrs_get(l, &a, d, KEY_EXPORT_REFERENCES_GRAPH, &list, e);
	for (struct slice w; !r && (w = next_word(&list.words)).n;) {
		struct slice p = next_word(&list.words);
		if (!p.n)
			return err_set(e, -ERR_BUILD,
				       "odd number of words in exportReferencesGraph of `%s'",
				       d->name);
		const char *name = arena_slice(&a, w);
		struct slice item = store_path_item(l->store_dir, p);
		const char *path = arena_slice(&a, item);
		if (!name || !path)
			return err_set(e, -ENOMEM, "out of memory");
		r = write_graph(l, inputs, name, path, to, e);
	}
	return r;
}

static int write_passed(struct local *l, const struct drv *d, const struct place *to, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct attr names;
	char file[DIGEST_TEXT_MAX + 8];
	int r = attrs_get(l, &a, d, KEY_PASS_AS_FILE, &names, e);
	for (size_t i = 0; !r && i < d->nenv; i++) {
		if (!has_word(names.words, d->env[i].name))
			continue;
		struct slice text = placeholder_fill(&a, d, d->env[i].value);
		file_name(d->env[i].name, file);
		r = text.p ? write_file(to, file, text, e) : err_set(e, -ENOMEM, "out of memory");
	}
	return r;
}

static int write_structured(struct local *l, const struct drv *d, const struct vec *inputs,
			    const struct place *to, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str json = STR_INIT, sh = STR_INIT;
	int r = attrs_format(l, d, inputs, &json, &sh, e);
	if (r)
		return r;
	struct slice text = placeholder_fill(&a, d, str_slice(&json));
	struct slice script = placeholder_fill(&a, d, str_slice(&sh));
	if (!text.p || !script.p)
		return err_set(e, -ENOMEM, "out of memory");
	r = write_file(to, ATTRS_JSON, text, e);
	return r ? r : write_file(to, ATTRS_SH, script, e);
}

int buildenv_files(struct session *s, const struct drv *d, const struct vec *inputs, int dirfd,
		   uid_t uid, gid_t gid, struct err *e)
{
	struct place to = { dirfd, uid, gid };
	if (attrs_structured(s->l, d))
		return write_structured(s->l, d, inputs, &to, e);
	int r = write_graphs(s->l, d, inputs, &to, e);
	return r ? r : write_passed(s->l, d, &to, e);
}

/* ---- requiredSystemFeatures ------------------------------------------------------------------ */

int buildenv_features(struct session *s, const char *drv_path, const struct drv *d, struct err *e)
{
	/* What every machine of Nix offers unless told otherwise. */
	static const char ours[] = "benchmark big-parallel nixos-test";
	auto_arena struct arena a = ARENA_INIT;
	struct attr list;
	int r = attrs_get(s->l, &a, d, KEY_REQUIRED_SYSTEM_FEATURES, &list, e);
	for (struct slice w; !r && (w = next_word(&list.words)).n;)
		if (!has_word(SLICE(ours), w))
			return err_set(e, -ERR_BUILD,
				       "a machine with the feature `%.*s' is required to build "
				       "`%s', but this one has only {%s}",
				       (int)MIN_OF(w.n, (size_t)60), w.p, drv_path, ours);
	return r;
}
