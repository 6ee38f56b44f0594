/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/realise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/vec.h"
#include "store/store.h"

#define TRIES 10 /* items are collected while we look for them */

#define LIMIT_LOCAL_FILE ((size_t)64 << 20)

static int expect(const struct node *n, const char *got, struct err *e)
{
	if (strcmp(got, n->store) == 0)
		return 0;
	return err_set(e, -ERR_HASH, "'%.*s' changed while it was added: expected %s, got %s",
		       (int)n->name.n, n->name.p, n->store, got);
}

static int add_source(struct store_conn *c, struct sources *s, const struct node *n, struct err *e)
{
	struct source_tree t = SOURCE_TREE_INIT;
	char *got, *name;
	int r = source_open(s, n, &t, e);

	if (r == 0) {
		name = arena_slice(&t.arena, n->name);
		r = !name ? err_set(e, -ENOMEM, "out of memory")
			  : store_add_tree(c, &t.arena, name, t.dirfd, t.name, true, DIGEST_SHA256,
					   source_filter, &t, &got, e);
	}
	if (r == 0)
		r = expect(n, got, e);
	source_done(&t);
	return r;
}

static int add_text(struct store_conn *c, const struct node *n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *got, *name = arena_slice(&a, n->name);
	int r = name ? store_add_text(c, &a, name, n->contents, n->refs, n->nrefs, &got, e)
		     : err_set(e, -ENOMEM, "out of memory");

	return r < 0 ? r : expect(n, got, e);
}

static int add_drv(struct store_conn *c, const struct node *n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	auto_vec struct vec refs = VEC_INIT;
	const struct drv *d = n->drv;
	char *got, *name = arena_fmt(&a, "%s.drv", d->name);
	int r;

	drv_format(d, &text);
	for (size_t i = 0; i < d->ninputs; i++)
		vec_add(&refs, (void *)d->inputs[i].path);
	for (size_t i = 0; i < d->nsources; i++)
		vec_add(&refs, (void *)d->sources[i]);
	if (!name || refs.err || str_err(&text))
		return err_set(e, -ENOMEM, "out of memory");
	r = store_add_text(c, &a, name, str_slice(&text), (const char *const *)refs.v, refs.n, &got,
			   e);
	return r < 0 ? err_wrap(e, r, "derivation '%s'", d->name) : expect(n, got, e);
}

/* ---- Fixed sources ----------------------------------------------------------------------------
 */

/* Add dirfd/name if it has the right hash. */
static int add_if_right(struct store_conn *c, const struct node *n, int dirfd, const char *path,
			bool *ret_done, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct digest have;
	uint64_t size;
	char *got, *name = arena_slice(&a, n->name);
	int r;

	*ret_done = false;
	if (!name)
		return err_set(e, -ENOMEM, "out of memory");
	if (nar_hash(dirfd, path, DIGEST_SHA256, NULL, NULL, &have, &size, NULL) < 0 ||
	    !digest_eq(&have, &n->nar))
		return 0;
	r = store_add_tree(c, &a, name, dirfd, path, true, DIGEST_SHA256, NULL, NULL, &got, e);
	*ret_done = true;
	return r < 0 ? r : expect(n, got, e);
}

/* The file beside the recipe; it may be a link out of the modules directory, the hash decides. */
static int add_local(struct store_conn *c, struct sources *s, const struct node *n, bool *ret_done,
		     struct err *e)
{
	char path[PATH_MAX], dir[PATH_MAX];
	auto_str struct str target = STR_INIT;
	auto_fd int dirfd = -1;

	*ret_done = false;
	if (n->path.n == 0 || s->dirfd[n->root] < 0)
		return 0;
	snprintf(path, sizeof(path), "%.*s", (int)n->path.n, n->path.p);
	if (file_readlink(s->dirfd[n->root], path, &target, NULL) == 0) {
		char full[PATH_MAX];
		if (path_dir(dir, path) < 0 || path_join(full, dir, target.buf) < 0)
			return 0;
		snprintf(path, sizeof(path), "%s", target.buf[0] == '/' ? target.buf : full);
	}
	if (path_dir(dir, path) < 0)
		return 0;
	dirfd = openat(s->dirfd[n->root], dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return 0;
	return add_if_right(c, n, dirfd, path_base(path), ret_done, e);
}

/* The file beside the recipe is what would have been downloaded and unpacked. */
static bool copy_local(struct sources *s, const struct node *n, int dirfd)
{
	auto_str struct str text = STR_INIT;
	char path[PATH_MAX];

	if (n->path.n == 0 || s->dirfd[n->root] < 0)
		return false;
	snprintf(path, sizeof(path), "%.*s", (int)n->path.n, n->path.p);
	return file_read(s->dirfd[n->root], path, &text, LIMIT_LOCAL_FILE, NULL) == 0 &&
	       file_write_atomic(dirfd, "download", text.buf, text.len, 0644, NULL) == 0;
}

/* Lay the download, or its member from, out as the item in directory dirfd; *ret_name is the item
 * there. */
static int unpack(const struct node *n, struct slice from, int dirfd, const char **ret_name,
		  struct err *e)
{
	char as[PATH_MAX], dir[PATH_MAX], member[PATH_MAX];
	mode_t mode = n->executable ? 0755 : 0644;
	auto_fd int file = -1;
	int r;

	snprintf(member, sizeof(member), "%.*s", (int)from.n, from.p);
	snprintf(as, sizeof(as), "item%s%.*s", n->as.n ? "/" : "", (int)n->as.n, n->as.p);
	r = path_dir(dir, as);
	if (r < 0)
		return err_num(e, r, "%s", as);
	r = file_mkdir_p(dirfd, dir, 0755, e);
	if (r < 0)
		return r;
	*ret_name = "item";
	if (!*member) {
		if (renameat(dirfd, "download", dirfd, as) < 0 || fchmodat(dirfd, as, mode, 0) < 0)
			return err_sys(e, "%s", as);
		return 0;
	}
	file = openat(dirfd, "download", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return err_sys(e, "download");
	if (strcmp(dir, ".") == 0)
		return unpack_deb_member(file, member, dirfd, as, mode, e);
	else {
		auto_fd int sub = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return sub < 0 ? err_sys(e, "%s", dir)
			       : unpack_deb_member(file, member, sub, path_base(as), mode, e);
	}
}

static int fetch_into(struct store_conn *c, struct sources *s, const struct node *n, int dirfd,
		      struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	const char **urls = arena_array(&a, n->list.n, sizeof(*urls)), *name;
	bool done = false;
	int r;

	if (copy_local(s, n, dirfd)) {
		r = unpack(n, SLICE(""), dirfd, &name, e);
		if (r == 0)
			r = add_if_right(c, n, dirfd, name, &done, e);
		if (r < 0 || done)
			return r;
		r = file_delete_tree(dirfd, "item", NULL, e);
		if (r < 0)
			return r;
	}
	if (n->list.n == 0)
		return err_set(e, -ERR_NOTFOUND,
			       "'%.*s' does not have the hash that is expected, and there are no "
			       "urls",
			       (int)n->path.n, n->path.p);
	for (size_t i = 0; urls && i < n->list.n; i++)
		urls[i] = arena_slice(&a, n->list.v[i]);
	if (arena_err(&a))
		return err_set(e, -ENOMEM, "out of memory");
	r = fetch_file(urls, n->list.n, &n->sha256, dirfd, "download", e);
	if (r == 0)
		r = unpack(n, n->member, dirfd, &name, e);
	if (r == 0)
		r = add_if_right(c, n, dirfd, name, &done, e);
	if (r == 0 && !done) {
		struct digest got;
		char want[DIGEST_TEXT_MAX], have[DIGEST_TEXT_MAX];
		uint64_t size;
		r = nar_hash(dirfd, name, DIGEST_SHA256, NULL, NULL, &got, &size, e);
		if (r < 0)
			return r;
		digest_hex(&n->nar, want);
		digest_hex(&got, have);
		r = err_set(e, -ERR_HASH, "nar_sha256: expected %s, got %s", want, have);
	}
	return r;
}

static int add_fixed(struct store_conn *c, struct sources *s, const struct node *n, struct err *e)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX];
	auto_fd int dirfd = -1;
	bool done;
	int r = add_local(c, s, n, &done, e);

	if (r < 0 || done)
		return r;
	r = path_join(dir, tmp && *tmp == '/' ? tmp : "/tmp", "cairn-XXXXXX");
	if (r < 0)
		return err_num(e, r, "TMPDIR");
	if (!mkdtemp(dir))
		return err_sys(e, "%s", dir);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dirfd < 0 ? err_sys(e, "%s", dir) : fetch_into(c, s, n, dirfd, e);
	(void)file_delete_tree(AT_FDCWD, dir, NULL, NULL); /* a left-over below /tmp is no error */
	return r < 0 ? err_wrap(e, r, "fixed_source '%.*s'", (int)n->name.n, n->name.p) : 0;
}

/* ---- Everything -------------------------------------------------------------------------------
 */

static int add_node(struct store_conn *c, struct sources *s, const struct node *n, struct err *e)
{
	switch (n->kind) {
	case NODE_DRV:
		return add_drv(c, n, e);
	case NODE_TEXT:
		return add_text(c, n, e);
	case NODE_FIXED:
		return add_fixed(c, s, n, e);
	default:
		return add_source(c, s, n, e);
	}
}

/* Protect paths, which were valid a moment ago: *ret_lost when one was collected meanwhile. */
static int hold(struct store_conn *c, const struct vec *paths, bool *ret_lost, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec valid = VEC_INIT;
	int r = paths->err ? err_set(e, -ENOMEM, "out of memory") : 0;

	for (size_t i = 0; i < paths->n && r == 0; i++)
		r = store_add_temp_root(c, paths->v[i], e);
	if (r == 0 && paths->n)
		r = store_valid_subset(c, &a, (const char *const *)paths->v, paths->n, &valid, e);
	*ret_lost |= r == 0 && valid.n != paths->n;
	return r;
}

/* What must be protected by itself so that all that is valid stays: those that nothing refers to,
 * and those that only missing ones do. */
static void list_held(struct graph *g, const struct vec *valid, bool results, struct vec *ret)
{
	for (size_t i = 0; i < g->nnodes; i++) {
		struct node *n = g->nodes[i];

		if (results && vec_has_str(valid, n->store))
			vec_add(ret, (void *)n->store);
		for (size_t k = 0; !results && n->wanted && k < n->ndeps; k++)
			if (vec_has_str(valid, n->deps[k]->store))
				vec_add(ret, (void *)n->deps[k]->store);
	}
	vec_sort_str(ret);
	vec_uniq_str(ret);
}

/* Mark what is not valid among those wanted, which are the results or all that these need; count in
 * *ret. */
static int drop_valid(struct store_conn *c, struct graph *g, bool results, size_t *ret,
		      bool *ret_lost, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT, valid = VEC_INIT, held = VEC_INIT;
	size_t left = 0;
	int r;

	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i]->wanted)
			vec_add(&paths, (void *)g->nodes[i]->store);
	if (paths.err)
		return err_set(e, -ENOMEM, "out of memory");
	*ret = 0;
	if (paths.n == 0)
		return 0;
	r = store_valid_subset(c, &a, (const char *const *)paths.v, paths.n, &valid, e);
	if (r < 0)
		return r;
	vec_sort_str(&valid);
	for (size_t i = 0; i < g->nnodes; i++) {
		struct node *n = g->nodes[i];
		if (n->wanted && vec_has_str(&valid, n->store))
			n->wanted = false;
		left += n->wanted;
	}
	*ret = left;
	list_held(g, &valid, results, &held);
	return hold(c, &held, ret_lost, e);
}

/* Nodes come after what they mention, so one walk backwards finds the closure. */
static void want_deps(struct graph *g)
{
	for (size_t i = g->nnodes; i-- > 0;)
		if (g->nodes[i]->wanted)
			for (size_t k = 0; k < g->nodes[i]->ndeps; k++)
				g->nodes[i]->deps[k]->wanted = true;
}

/* Texts of results mention paths, too: everything that is not a dependency of something else. */
static void want_results(struct graph *g)
{
	for (size_t i = 0; i < g->nnodes; i++)
		g->nodes[i]->wanted = true;
	for (size_t i = 0; i < g->nnodes; i++)
		for (size_t k = 0; k < g->nodes[i]->ndeps; k++)
			g->nodes[i]->deps[k]->wanted = false;
	for (size_t i = 0; i < g->nresults; i++)
		if (g->results[i].node)
			g->results[i].node->wanted = true;
}

/* Leave wanted what has to be added; what is not is protected. */
static int find_missing(struct store_conn *c, struct graph *g, bool *ret_lost, struct err *e)
{
	size_t left;
	int r;

	want_results(g);
	r = drop_valid(c, g, true, &left, ret_lost, e);
	if (r < 0 || left == 0)
		return r;
	want_deps(g);
	return drop_valid(c, g, false, &left, ret_lost, e);
}

int realise(struct store_conn *c, struct graph *g, struct sources *s, struct err *e)
{
	bool lost = true;
	int r = 0;

	for (unsigned i = 0; i < TRIES && lost && r == 0; i++) {
		lost = false;
		r = find_missing(c, g, &lost, e);
	}
	for (size_t i = 0; i < g->nnodes && r == 0; i++) {
		if (!g->nodes[i]->wanted)
			continue;
		r = add_node(c, s, g->nodes[i], e); /* the daemon roots it for this connection */
	}
	return r;
}

/* Valid outputs among those of all derivations, sorted. */
static int valid_outputs(struct store_conn *c, struct graph *g, struct arena *a, struct vec *ret,
			 struct err *e)
{
	auto_vec struct vec paths = VEC_INIT;
	int r;

	for (size_t i = 0; i < g->nnodes; i++) {
		const struct drv *d = g->nodes[i]->drv;
		for (size_t k = 0; d && k < d->noutputs; k++)
			vec_add(&paths, (void *)d->outputs[k].path);
	}
	if (paths.err)
		return err_set(e, -ENOMEM, "out of memory");
	if (paths.n == 0)
		return 0;
	r = store_valid_subset(c, a, (const char *const *)paths.v, paths.n, ret, e);
	vec_sort_str(ret);
	return r;
}

static bool all_valid(const struct drv *d, const struct vec *valid)
{
	for (size_t i = 0; i < d->noutputs; i++)
		if (!vec_has_str(valid, d->outputs[i].path))
			return false;
	return true;
}

int realise_missing(struct store_conn *c, struct graph *g, struct vec *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec valid = VEC_INIT;
	int r = valid_outputs(c, g, &a, &valid, e);

	if (r < 0)
		return r;
	want_results(g);
	for (size_t i = g->nnodes; i-- > 0;) {
		struct node *n = g->nodes[i];
		n->wanted = n->wanted && n->drv && !all_valid(n->drv, &valid);
		for (size_t k = 0; n->wanted && k < n->ndeps; k++)
			n->deps[k]->wanted = true;
	}
	for (size_t i = 0; i < g->nnodes; i++)
		if (g->nodes[i]->wanted)
			vec_add(ret, (void *)g->nodes[i]->store);
	return ret->err;
}
