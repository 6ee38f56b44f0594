/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Upkeep of a local store: checks, invalidation, links between equal files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/tab.h"
#include "store/local/db.h"
#include "store/local/links.h"
#include "store/local/local-state.h"
#include "store/format/nar.h"
#include "store/local/refgraph.h"

#define EXCHANGE 2U /* of renameat2, for which musl has no function */

int local_invalidate(struct local *l, const char *path, struct err *e)
{
	struct db *db;
	int r = local_begin(l, &db, e);

	if (r == 0)
		r = db_begin(db, e);
	if (r < 0)
		return r;
	r = db_delete(db, path, e);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	local_modulo_forget(l, path);
	return db_commit(db, e);
}

int local_optimise(struct local *l, const char *path, uint64_t *ret_saved, struct err *e)
{
	uint64_t saved = 0;
	auto_fd int lock = -1;
	bool valid = false;
	int r = local_flush(l, e);

	if (r == 0)
		r = local_check_path(l, path, e);
	/* With the collector held off, lest a link take the place of what comes after the item. */
	if (r == 0)
		r = local_gc_lock(l, false, true, &lock, e);
	if (r == 0)
		r = local_is_valid(l, path, &valid, e);
	if (r == 0 && valid)
		r = links_tree(l, local_base(l, path), NULL, &saved, e);
	if (r == 0 && ret_saved)
		*ret_saved = saved;
	return r;
}

struct verifier {
	struct local *l;
	const struct local_verify *o;
	struct db *db;
	struct arena a;
	struct vec valid;   /* all valid paths */
	struct tab missing; /* those without a file */
	uint64_t errors;
	bool locked;	 /* others wait: what is found is told later */
	struct vec late; /* texts, in a */
	struct err *e;
};

static void __attribute__((format(printf, 2, 3))) fault(struct verifier *v, const char *fmt, ...)
{
	struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	if (v->locked)
		vec_add(&v->late, arena_str(&v->a, s.buf));
	else if (v->o->report)
		v->o->report(v->o->arg, s.buf);
	str_done(&s);
}

/* path, which is valid, has a fault. */
static int bad(struct verifier *v, const char *path)
{
	v->errors++;
	if (!v->o->a)
		return 0;
	vec_add(v->o->bad, arena_str(v->o->a, path));
	return arena_err(v->o->a) < 0 || v->o->bad->err < 0 ? err_num(v->e, -ENOMEM, "verify") : 0;
}

/* The lock is released: who listens may be slow. */
static int tell_late(struct verifier *v)
{
	v->locked = false;
	for (size_t i = 0; i < v->late.n && v->late.v[i]; i++)
		fault(v, "%s", (char *)v->late.v[i]);
	return v->late.err < 0 ? err_num(v->e, v->late.err, "verify") : 0;
}

static int find_missing(struct verifier *v)
{
	struct stat st;

	for (size_t i = 0; i < v->valid.n; i++) {
		const char *path = v->valid.v[i];

		if (local_check_path(v->l, path, NULL) < 0) {
			fault(v, "'%s' is registered but is no store path", path);
			v->errors++;
			continue;
		}
		if (fstatat(v->l->store_fd, local_base(v->l, path), &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (errno != ENOENT)
			return err_sys(v->e, "%s", path);
		if (!tab_put(&v->missing, slice_of(path), NULL))
			return err_num(v->e, -ENOMEM, "verify");
		fault(v, "path '%s' disappeared", path);
		if (bad(v, path) < 0)
			return -ENOMEM;
	}
	return 0;
}

static bool hash_unknown(const struct digest *d)
{
	for (size_t i = 0; i < digest_size(d->algo); i++)
		if (d->bytes[i])
			return false;
	return true;
}

/* Fill in what other tools left open. */
static int complete(struct verifier *v, const struct store_info *info)
{
	int r = db_begin(v->db, v->e);

	if (r == 0)
		r = db_update(v->db, info, v->e);
	if (r == 0)
		return db_commit(v->db, v->e);
	db_rollback(v->db);
	return r;
}

/* path is not what the database says: why, or got instead. Unless it was collected meanwhile. */
static int differs(struct verifier *v, const struct store_info *info, const char *why,
		   const struct digest *got)
{
	char want_hex[DIGEST_TEXT_MAX], got_hex[DIGEST_TEXT_MAX];
	bool valid;
	int r = db_is_valid(v->db, info->path, &valid, v->e);

	if (r < 0 || !valid)
		return r;
	if (why) {
		fault(v, "path '%s' cannot be read: %s", info->path, why);
		return bad(v, info->path);
	}
	digest_hex(&info->nar_hash, want_hex);
	digest_hex(got, got_hex);
	fault(v, "path '%s' was modified! expected hash '%s', got '%s'", info->path, want_hex,
	      got_hex);
	return bad(v, info->path);
}

/* again: the first look found a fault, which a collection and an addition in between explain. */
static int check_contents(struct verifier *v, const char *path, bool again)
{
	auto_arena struct arena a = ARENA_INIT;
	struct store_info *info;
	struct digest got;
	struct err inner = ERR_INIT;
	uint64_t size;
	bool known, same;
	int r = db_info(v->db, &a, path, false, &info, v->e);

	if (r == -ERR_NOTVALID)
		return 0; /* just forgotten */
	if (r < 0)
		return r;
	r = nar_hash(v->l->store_fd, local_base(v->l, path), info->nar_hash.algo, NULL, NULL, &got,
		     &size, &inner);
	known = !hash_unknown(&info->nar_hash);
	same = r == 0 && (!known || digest_eq(&got, &info->nar_hash));
	if (!same && !again)
		return check_contents(v, path, true);
	if (!same)
		return differs(v, info, r < 0 ? inner.msg : NULL, &got);
	if (known && info->nar_size == size)
		return 0;
	if (info->nar_size && info->nar_size != size)
		fault(v, "path '%s' had the size %llu in the database, corrected to %llu", path,
		      (unsigned long long)info->nar_size, (unsigned long long)size);
	info->nar_hash = got;
	info->nar_size = size;
	return complete(v, info);
}

int local_verify(struct local *l, const struct local_verify *o, uint64_t *ret_errors, struct err *e)
{
	struct verifier v = { .l = l, .o = o, .e = e };
	auto_fd int gc_fd = -1;
	int r = local_begin(l, &v.db, e);

	v.locked = true;
	if (r == 0)
		r = db_check(v.db, e);
	if (r == 0)
		r = local_gc_lock(l, true, true, &gc_fd, e);
	if (r == 0)
		r = db_all_valid(v.db, &v.a, &v.valid, e);
	if (r == 0)
		r = find_missing(&v);
	fd_close(&gc_fd);
	if (r == 0)
		r = tell_late(&v);
	for (size_t i = 0; r == 0 && o->contents && i < v.valid.n; i++) {
		if (o->stop && o->stop(o->arg))
			r = err_set(e, -EINTR, "interrupted");
		else if (!tab_has(&v.missing, slice_of(v.valid.v[i])) &&
			 local_check_path(l, v.valid.v[i], NULL) == 0)
			r = check_contents(&v, v.valid.v[i], false);
	}
	tab_done(&v.missing);
	vec_done(&v.valid);
	vec_done(&v.late);
	arena_done(&v.a);
	if (r == 0)
		*ret_errors = v.errors;
	return r;
}

int local_is_good(struct local *l, const char *path, bool *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct store_info *info;
	struct digest got;
	int r = local_info(l, &a, path, &info, e);

	if (r < 0)
		return r;
	r = nar_hash(l->store_fd, local_base(l, path), info->nar_hash.algo, NULL, NULL, &got, NULL,
		     NULL);
	*ret = r == 0 && digest_eq(&got, &info->nar_hash);
	return 0;
}

/* ---- Rows without files -----------------------------------------------------------------------
 */

static bool is_missing(struct local *l, const char *path)
{
	struct stat st;

	return local_check_path(l, path, NULL) == 0 &&
	       fstatat(l->store_fd, local_base(l, path), &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	       errno == ENOENT;
}

/* Mark in g those of paths that are missing. An empty directory is no store that lost everything.
 */
static int mark_missing(struct local *l, struct refgraph *g, const struct vec *paths, struct err *e)
{
	size_t missing = 0;

	for (size_t i = 0; i < paths->n; i++) {
		struct refgraph_node *node = refgraph_find(g, paths->v[i]);

		if (!node || node->marked || !is_missing(l, node->path))
			continue;
		node->marked = true;
		missing++;
	}
	if (missing < 2 || missing < g->n)
		return 0;
	return err_hint(e,
			err_set(e, -ERR_INVALID, "none of the %zu valid items is in %s", g->n,
				l->store_phys),
			"is its file system mounted?");
}

/* What is needed is chosen: nodes come after what they refer to, so backwards before it. */
static void choose_needed(struct refgraph *g, const struct vec *order)
{
	for (size_t i = order->n; i-- > 0;) {
		struct refgraph_node *node = order->v[i];

		for (size_t k = 0; k < node->nrefs; k++)
			if (!node->marked || node->chosen)
				g->nodes[g->refs[node->refs + k]].chosen = true;
	}
}

static int forget(struct local *l, struct db *db, const struct vec *order, struct vec *ret,
		  struct err *e)
{
	int r = 0;

	for (size_t i = order->n; r == 0 && i-- > 0;) {
		struct refgraph_node *node = order->v[i];

		if (!node->marked || node->chosen)
			continue;
		r = db_delete(db, node->path, e);
		if (r == 0)
			local_modulo_forget(l, node->path);
		vec_add(ret, (void *)(uintptr_t)node->path);
	}
	return r;
}

/* The rows go in one transaction; removed: their paths, in g. */
static int forget_missing(struct local *l, struct refgraph *g, const struct vec *paths,
			  struct vec *removed, struct err *e)
{
	auto_vec struct vec order = VEC_INIT;
	auto_fd int gc_fd = -1;
	struct db *db;
	int r = local_begin(l, &db, e);

	if (r == 0)
		r = local_gc_lock(l, true, true, &gc_fd, e);
	if (r == 0)
		r = db_begin(db, e);
	if (r < 0)
		return r;
	r = refgraph_load(db, false, g, e);
	if (r == 0 && refgraph_order(g, &order) < 0)
		r = err_num(e, -ENOMEM, "verify");
	if (r == 0)
		r = mark_missing(l, g, paths, e);
	if (r == 0)
		choose_needed(g, &order);
	if (r == 0)
		r = forget(l, db, &order, removed, e);
	if (r == 0)
		return db_commit(db, e);
	db_rollback(db);
	return r;
}

int local_forget_missing(struct local *l, const struct vec *paths, local_report_fn *report,
			 void *arg, uint64_t *ret_removed, struct err *e)
{
	struct refgraph g = { .n = 0 };
	auto_vec struct vec removed = VEC_INIT;
	int r = forget_missing(l, &g, paths, &removed, e);

	for (size_t i = 0; r == 0 && report && i < removed.n; i++) {
		auto_str struct str s = STR_INIT;

		str_addf(&s,
			 "removing '%s' from the database: its files are gone, and nothing "
			 "needs it",
			 (char *)removed.v[i]);
		report(arg, s.buf);
	}
	if (r == 0)
		*ret_removed = removed.n;
	refgraph_done(&g);
	return r;
}

/* ---- Replacing what is damaged ----------------------------------------------------------------
 */

static void set_mode(int dirfd, const char *name, mode_t mode)
{
	static const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return;
	(void)fchmodat(dirfd, name, mode, 0); /* what comes of it is checked by whoever needs it */
	(void)utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
}

int local_replace(struct local *l, int fromfd, const char *name, const char *path, struct err *e)
{
	const char *base = local_base(l, path);
	unsigned budget = 6;
	int r;

	/* To change its parent a directory must be writable; at no time is there none. */
	set_mode(fromfd, name, 0755);
	set_mode(l->store_fd, base, 0755);
	r = syscall(SYS_renameat2, fromfd, name, l->store_fd, base, EXCHANGE) < 0 ? -errno : 0;
	if (r == -ENOENT)
		r = renameat(fromfd, name, l->store_fd, base) < 0 ? -errno : 0;
	set_mode(l->store_fd, base, 0555);
	if (r < 0)
		return err_num(e, r, "replace %s", path);
	r = local_sync_item(l, base, &budget, e);
	return r == 0 ? local_deduplicate(l, path, NULL, e) : r;
}
