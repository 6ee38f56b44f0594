/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Garbage collection. Live is what the roots reach by references, from a live output to the
 * derivation that made it, and, if asked for, from a live derivation to its outputs. All else goes:
 * first out of the database, in one transaction, then into the trash directory, then, with all
 * locks released, for good. A crash in between leaves rubbish that the next collection finds.
 */
#include "store/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/tab.h"
#include "store/db.h"
#include "store/links.h"
#include "store/local-state.h"
#include "store/nar.h"
#include "store/roots.h"

#define TRASH	     "trash"
#define TMP_LINK_AGE 3600 /* seconds; a link is renamed at once unless its maker died */

struct gc {
	struct local *l;
	struct db *db;
	const struct gc_request *req;
	struct err *e;
	struct arena *a; /* of the caller; paths */
	struct tab live;
	struct tab temp;    /* paths in temporary roots, valid or not */
	struct vec todo;    /* live paths to look at */
	struct vec dead;    /* valid, those that refer before those referred to */
	struct vec rubbish; /* names in the store directory */
	struct vec *ret;
	uint64_t bytes;
};

static void __attribute__((format(printf, 2, 3))) progress(struct gc *g, const char *fmt, ...)
{
	struct str s = STR_INIT;
	va_list ap;

	if (!g->req->progress)
		return;
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	g->req->progress(g->req->arg, s.buf);
	str_done(&s);
}

static int no_memory(struct gc *g)
{
	return err_num(g->e, -ENOMEM, "garbage collection");
}

/* ---- What lives -------------------------------------------------------------------------------
 */

/* path is live if it is valid. */
static int mark(struct gc *g, const char *path)
{
	bool valid, is_new;
	char *copy;
	int r;

	if (tab_has(&g->live, slice_of(path)))
		return 0;
	r = db_is_valid(g->db, path, &valid, g->e);
	if (r < 0 || !valid)
		return r;
	copy = arena_str(g->a, path);
	if (!copy || !tab_put(&g->live, slice_of(copy), &is_new))
		return no_memory(g);
	vec_add(&g->todo, copy);
	return g->todo.err < 0 ? no_memory(g) : 0;
}

static int mark_all(struct gc *g, const struct vec *paths)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < paths->n; i++)
		r = mark(g, paths->v[i]);
	return r;
}

static int mark_next(struct gc *g, const char *path)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec outputs = VEC_INIT;
	struct store_info *info;
	int r = db_info(g->db, &a, path, true, &info, g->e);

	for (size_t i = 0; r == 0 && i < info->nrefs; i++)
		r = mark(g, info->refs[i]);
	if (r == 0 && !g->req->drop_derivations && *info->deriver)
		r = mark(g, info->deriver);
	if (r == 0 && g->req->keep_outputs && slice_ends(slice_of(path), ".drv")) {
		r = db_drv_outputs(g->db, &a, path, NULL, &outputs, g->e);
		if (r == 0)
			r = mark_all(g, &outputs);
	}
	return r;
}

static int mark_roots(struct gc *g, const struct vec *roots)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < roots->n; i++)
		r = mark(g, ((struct root *)roots->v[i])->target);
	return r;
}

static int find_live(struct gc *g, const struct vec *temp)
{
	auto_vec struct vec roots = VEC_INIT;
	int r = 0;

	for (size_t i = 0; i < temp->n; i++)
		if (!tab_put(&g->temp, slice_of(((struct root *)temp->v[i])->target), NULL))
			return no_memory(g);
	if (!g->req->ignore_liveness) {
		r = roots_find(g->l, g->a, &roots, g->e);
		if (r == 0)
			r = roots_runtime(g->l, g->a, &roots, g->e);
		if (r == 0)
			r = mark_roots(g, &roots);
		if (r == 0)
			r = mark_roots(g, temp);
	}
	while (r == 0 && g->todo.n)
		r = mark_next(g, g->todo.v[--g->todo.n]);
	return r;
}

/* ---- What goes --------------------------------------------------------------------------------
 */

/* Add path to the dead, after everything that refers to it. */
static int add_dead(struct gc *g, struct tab *seen, const char *path)
{
	auto_vec struct vec referrers = VEC_INIT;
	bool is_new;
	int r = 0;

	if (!tab_put(seen, slice_of(path), &is_new))
		return no_memory(g);
	if (!is_new)
		return 0;
	r = db_referrers(g->db, g->a, path, &referrers, g->e);
	for (size_t i = 0; r == 0 && i < referrers.n; i++)
		r = add_dead(g, seen, referrers.v[i]);
	vec_add(&g->dead, (void *)(uintptr_t)path);
	return r == 0 && g->dead.err < 0 ? no_memory(g) : r;
}

static int find_dead(struct gc *g)
{
	auto_vec struct vec all = VEC_INIT;
	auto_tab struct tab seen = TAB_INIT;
	int r = db_all_valid(g->db, g->a, &all, g->e);

	for (size_t i = 0; r == 0 && i < all.n; i++)
		if (!tab_has(&g->live, slice_of(all.v[i])))
			r = add_dead(g, &seen, all.v[i]);
	return r;
}

static bool cut_suffix(struct slice *name, const char *suffix)
{
	if (!slice_ends(*name, suffix))
		return false;
	name->n -= strlen(suffix);
	return true;
}

/* Whether the invalid entry name of the store belongs to somebody who is at work. */
static bool in_progress(struct gc *g, const char *name)
{
	struct slice base = slice_of(name);
	auto_str struct str path = STR_INIT;
	struct stat st;

	if (slice_starts(base, ".tmp-link-"))
		return fstatat(g->l->store_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		       time(NULL) - st.st_ctim.tv_sec < TMP_LINK_AGE;
	if (!cut_suffix(&base, ".lock") && !cut_suffix(&base, ".chroot"))
		(void)cut_suffix(&base, ".check");
	str_addf(&path, "%s/%.*s", g->l->store_dir, (int)base.n, base.p);
	return str_err(&path) < 0 || tab_has(&g->temp, str_slice(&path));
}

static int find_these(struct gc *g)
{
	auto_tab struct tab seen = TAB_INIT;
	bool valid;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->req->npaths; i++) {
		const char *path = g->req->paths[i];

		r = local_check_path(g->l, path, g->e);
		if (r == 0)
			r = db_is_valid(g->db, path, &valid, g->e);
		if (r == 0 && tab_has(&g->live, slice_of(path)))
			r = err_set(g->e, -ERR_IN_USE,
				    "cannot delete path '%s' since it is still alive", path);
		if (r == 0 && !valid && in_progress(g, local_base(g->l, path)))
			r = err_set(g->e, -ERR_IN_USE,
				    "cannot delete path '%s': somebody is at work on it", path);
		if (r == 0 && valid)
			r = add_dead(g, &seen, path);
		else if (r == 0)
			vec_add(&g->rubbish, (void *)(uintptr_t)local_base(g->l, path));
	}
	return r;
}

static int find_rubbish(struct gc *g)
{
	auto_vec struct vec names = VEC_INIT;
	int r = nar_list_dir(g->a, g->l->store_fd, &names);

	if (r < 0)
		return err_num(g->e, r, "list %s", g->l->store_phys);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		const char *name = names.v[i];
		char *path = arena_fmt(g->a, "%s/%s", g->l->store_dir, name);
		bool valid = false;

		if (!path)
			return no_memory(g);
		if (!strcmp(name, TRASH) || !strcmp(name, ".links"))
			continue;
		r = db_is_valid(g->db, path, &valid, g->e);
		if (r == 0 && !valid && !in_progress(g, name))
			vec_add(&g->rubbish, (void *)(uintptr_t)name);
	}
	return r == 0 && g->rubbish.err < 0 ? no_memory(g) : r;
}

/* ---- Deleting ---------------------------------------------------------------------------------
 */

/* Move store_fd/name to the trash, or delete it where it is. */
static int discard(struct gc *g, int trash, const char *name, unsigned serial)
{
	int fd = g->l->store_fd;
	struct stat st;
	char to[32];
	uint64_t bytes = 0;
	int r;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(g->e, "%s", name);
	if (S_ISDIR(st.st_mode)) {
		/* Changing the parent of a directory takes write permission on it. */
		(void)fchmodat(fd, name, (st.st_mode & 07777) | 0700, 0);
		snprintf(to, sizeof(to), "%u", serial);
		if (trash >= 0 && renameat(fd, name, trash, to) == 0)
			return 0;
	}
	r = file_delete_tree(fd, name, &bytes, g->e);
	g->bytes += bytes;
	return r;
}

/* Delete the row of a dead path. *ret false: somebody refers to it by now, so it stays. */
static int invalidate_one(struct gc *g, const char *path, uint64_t *sum, bool *ret)
{
	auto_arena struct arena a = ARENA_INIT;
	struct store_info *info;
	struct err inner = ERR_INIT;
	int r = db_info(g->db, &a, path, false, &info, g->e);

	*ret = false;
	if (r < 0)
		return r;
	r = db_delete(g->db, path, &inner);
	if (r == -ERR_IN_USE)
		return 0;
	if (r < 0)
		return err_set(g->e, r, "%s", inner.msg);
	*sum += info->nar_size;
	*ret = true;
	local_modulo_forget(g->l, path);
	return 0;
}

/* Rows first: what is not valid any more may be deleted at leisure. Stops when enough is freed. */
static int invalidate(struct gc *g)
{
	uint64_t sum = 0;
	size_t kept = 0;
	bool gone;
	int r = db_begin(g->db, g->e);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < g->dead.n && sum <= g->req->max_freed; i++) {
		r = invalidate_one(g, g->dead.v[i], &sum, &gone);
		if (r == 0 && gone)
			g->dead.v[kept++] = g->dead.v[i];
	}
	if (r < 0) {
		db_rollback(g->db);
		return r;
	}
	g->dead.n = kept;
	r = db_commit(g->db, g->e);
	if (r < 0 || !g->l->sync || !(kept || g->rubbish.n))
		return r;
	/* Commits do not wait for the disk, and files may be gone there first: after a power cut
	 * the rows would be back, also those of a collection that was killed here. */
	return db_sync(g->db, g->e);
}

static int open_trash(struct gc *g, int *ret)
{
	int fd = g->l->store_fd, r = file_delete_tree(fd, TRASH, &g->bytes, g->e);

	if (r < 0)
		return r;
	if (mkdirat(fd, TRASH, 0700) < 0) {
		*ret = -1; /* a full disk: delete in place */
		return errno == ENOSPC
			       ? 0
			       : err_sys(g->e, "make the directory %s/" TRASH, g->l->store_phys);
	}
	*ret = openat(fd, TRASH, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret < 0 ? err_sys(g->e, "open %s/" TRASH, g->l->store_phys) : 0;
}

static int sweep(struct gc *g)
{
	auto_fd int trash = -1;
	unsigned serial = 0;
	int r = open_trash(g, &trash);

	db_end_read(g->db);
	if (r == 0)
		r = invalidate(g);
	for (size_t i = 0; r == 0 && i < g->rubbish.n; i++)
		r = discard(g, trash, g->rubbish.v[i], serial++);
	for (size_t i = 0; r == 0 && i < g->dead.n; i++) {
		r = discard(g, trash, local_base(g->l, g->dead.v[i]), serial++);
		vec_add(g->ret, g->dead.v[i]);
	}
	return r;
}

/* With all locks released: who listens may be slow. */
static void tell(struct gc *g)
{
	for (size_t i = 0; i < g->rubbish.n; i++)
		progress(g, "deleting '%s/%s'", g->l->store_dir, (char *)g->rubbish.v[i]);
	for (size_t i = 0; i < g->dead.n; i++)
		progress(g, "deleting '%s'", (char *)g->dead.v[i]);
}

static int empty_trash(struct gc *g)
{
	uint64_t bytes = 0, links = 0;
	int r;

	tell(g);
	r = file_delete_tree(g->l->store_fd, TRASH, &bytes, g->e);

	if (r == 0)
		r = links_prune(g->l, &links, g->e);
	g->bytes += bytes + links;
	return r;
}

/* ---- Reports ----------------------------------------------------------------------------------
 */

static int report_live(struct gc *g)
{
	struct tab_slot *slot;
	size_t i = 0;

	while ((slot = tab_next(&g->live, &i)))
		vec_add(g->ret, (void *)(uintptr_t)slot->key.p);
	return 0;
}

static int report_dead(struct gc *g)
{
	for (size_t i = 0; i < g->dead.n; i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct store_info *info;
		int r = db_info(g->db, &a, g->dead.v[i], false, &info, g->e);

		if (r < 0)
			return r;
		g->bytes += info->nar_size;
		vec_add(g->ret, g->dead.v[i]);
	}
	return 0;
}

static int act(struct gc *g)
{
	int r;

	switch (g->req->action) {
	case STORE_GC_LIVE:
		return report_live(g);
	case STORE_GC_DELETE_THESE:
		r = find_these(g);
		return r < 0 ? r : sweep(g);
	case STORE_GC_DEAD:
		r = find_dead(g);
		return r < 0 ? r : report_dead(g);
	case STORE_GC_DELETE:
		break;
	}
	r = find_dead(g);
	if (r == 0)
		r = find_rubbish(g);
	return r < 0 ? r : sweep(g);
}

int gc_run(struct local *l, struct arena *a, const struct gc_request *req, struct vec *ret_paths,
	   uint64_t *ret_bytes, struct err *e)
{
	struct gc g = { .l = l, .req = req, .e = e, .a = a, .ret = ret_paths };
	struct roots_temp held = { NULL, 0 };
	auto_vec struct vec temp = VEC_INIT;
	auto_fd int lock = -1;
	int r = local_begin(l, &g.db, e);

	if (r == 0)
		r = local_gc_lock(l, true, true, &lock, e);
	if (r == 0)
		r = roots_temp(l, a, &temp, &held, e);
	/* One state for all questions; what others register from now on has temporary roots. */
	if (r == 0)
		r = db_begin_read(g.db, e);
	if (r == 0)
		r = find_live(&g, &temp);
	if (r == 0)
		r = act(&g);
	if (g.db)
		db_end_read(g.db);
	fd_close(&lock);
	roots_temp_done(&held);
	if (r == 0 && req->action >= STORE_GC_DELETE)
		r = empty_trash(&g);
	if (r == 0 && ret_paths->err < 0)
		r = no_memory(&g);
	vec_sort_str(ret_paths);
	tab_done(&g.live);
	tab_done(&g.temp);
	vec_done(&g.todo);
	vec_done(&g.dead);
	vec_done(&g.rubbish);
	if (r == 0)
		*ret_bytes = g.bytes;
	return r;
}
