/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/buildenv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/tab.h"

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

static int set_derivation(struct vars *x, const struct drv *d, struct err *e)
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
		set(x, v->name, v->value);
	}
	return 0;
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
	int r = set_derivation(&x, d, e);
	for (size_t i = 0; i < sizeof(tops) / sizeof(tops[0]); i++)
		set_text(&x, tops[i], cwd);
	bool found;
	struct slice names = drv_env(d, "impureEnvVars", &found), w;
	while (drv_is_fixed(d) && found && (w = next_word(&names)).n) {
		const char *name = arena_slice(a, w);
		const char *value = name && may_inherit(name) ? getenv(name) : NULL;
		set(&x, w, slice_of(value ? value : ""));
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

/* ---- exportReferencesGraph ------------------------------------------------------------------- */

/* Closure of path, and of the outputs of every derivation in it. */
static int graph_closure(struct session *s, struct arena *a, const char *path, struct vec *ret,
			 struct err *e)
{
	int r = local_closure(s->l, a, &path, 1, ret, e);
	size_t n = ret->n;
	for (size_t i = 0; !r && i < n; i++) {
		if (!slice_ends(slice_of(ret->v[i]), ".drv"))
			continue;
		auto_vec struct vec outs = VEC_INIT;
		r = local_drv_outputs(s->l, a, ret->v[i], NULL, &outs, e);
		for (size_t k = 0; !r && k < outs.n; k++) {
			bool valid;
			const char *out = outs.v[k];
			r = local_is_valid(s->l, out, &valid, e);
			if (!r && valid)
				r = local_closure(s->l, a, &out, 1, ret, e);
		}
	}
	vec_sort_str(ret);
	vec_uniq_str(ret);
	return r;
}

static int graph_text(struct session *s, const char *path, struct str *out, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec all = VEC_INIT;
	int r = graph_closure(s, &a, path, &all, e);
	for (size_t i = 0; !r && i < all.n; i++) {
		struct store_info *info;
		r = local_info(s->l, &a, all.v[i], &info, e);
		if (r)
			break;
		str_addf(out, "%s\n\n%zu\n", info->path, info->nrefs);
		for (size_t k = 0; k < info->nrefs; k++)
			str_addf(out, "%s\n", info->refs[k]);
	}
	return r ? r : str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int write_graph(struct session *s, const struct vec *inputs, const char *name,
		       const char *path, int dirfd, uid_t uid, gid_t gid, struct err *e)
{
	if (!*name || strchr(name, '/') || name[0] == '.')
		return err_set(e, -ERR_BUILD, "bad file name `%s' in exportReferencesGraph", name);
	if (!vec_has_str(inputs, path))
		return err_set(e, -ERR_BUILD,
			       "exportReferencesGraph: path `%s' is not in the input closure",
			       path);
	auto_str struct str text = STR_INIT;
	int r = graph_text(s, path, &text, e);
	if (r)
		return r;
	auto_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "cannot write the references graph %s", name);
	r = fd_write_full(fd, text.buf, text.len);
	if (r)
		return err_num(e, r, "cannot write the references graph %s", name);
	if (fchown(fd, uid, gid) < 0)
		return err_sys(e, "cannot give away the references graph %s", name);
	return 0;
}

int buildenv_graphs(struct session *s, const struct drv *d, const struct vec *inputs, int dirfd,
		    uid_t uid, gid_t gid, struct err *e)
{
	bool found;
	struct slice list = drv_env(d, "exportReferencesGraph", &found), w;
	auto_arena struct arena a = ARENA_INIT;
	while (found && (w = next_word(&list)).n) {
		struct slice p = next_word(&list);
		if (!p.n)
			return err_set(e, -ERR_BUILD,
				       "odd number of words in exportReferencesGraph of `%s'",
				       d->name);
		const char *name = arena_slice(&a, w);
		struct slice item = store_path_item(s->l->store_dir, p);
		const char *path = arena_slice(&a, item);
		if (!name || !path)
			return err_set(e, -ENOMEM, "out of memory");
		int r = write_graph(s, inputs, name, path, dirfd, uid, gid, e);
		if (r)
			return r;
	}
	return 0;
}
