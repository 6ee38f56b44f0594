/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Upkeep of a local store: checks, invalidation, links between equal files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/tab.h"
#include "store/db.h"
#include "store/links.h"
#include "store/local-state.h"

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
	uint64_t saved;
	int r = local_flush(l, e);

	if (r == 0)
		r = local_check_path(l, path, e);
	if (r == 0)
		r = links_tree(l, local_base(l, path), NULL, &saved, e);
	if (r == 0 && ret_saved)
		*ret_saved = saved;
	return r;
}

struct verifier {
	struct local *l;
	struct db *db;
	struct arena a;
	struct vec valid;   /* all valid paths */
	struct tab missing; /* those without a file */
	local_report_fn *report;
	void *arg;
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
	else if (v->report)
		v->report(v->arg, s.buf);
	str_done(&s);
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
	}
	return 0;
}

/* Whether something that is there refers to path, directly or by way of missing paths. */
static int needed(struct verifier *v, const char *path, struct tab *seen, bool *ret)
{
	struct vec refs = VEC_INIT;
	bool is_new;
	int r = db_referrers(v->db, &v->a, path, &refs, v->e);

	for (size_t i = 0; r == 0 && !*ret && i < refs.n; i++) {
		if (!tab_has(&v->missing, slice_of(refs.v[i])))
			*ret = true;
		else if (!tab_put(seen, slice_of(refs.v[i]), &is_new))
			r = err_num(v->e, -ENOMEM, "verify");
		else if (is_new)
			r = needed(v, refs.v[i], seen, ret);
	}
	vec_done(&refs);
	return r;
}

/* Rows of path and of all its referrers, which are missing as well. */
static int forget(struct verifier *v, const char *path)
{
	struct vec refs = VEC_INIT;
	int r = db_referrers(v->db, &v->a, path, &refs, v->e);

	for (size_t i = 0; r == 0 && i < refs.n; i++)
		if (strcmp(refs.v[i], path))
			r = forget(v, refs.v[i]);
	vec_done(&refs);
	if (r == 0)
		r = db_delete(v->db, path, v->e);
	if (r == 0)
		local_modulo_forget(v->l, path);
	return r;
}

static int handle_missing(struct verifier *v)
{
	struct tab_slot *slot;
	size_t i = 0;
	int r = db_begin(v->db, v->e);

	if (r < 0)
		return r;
	while (r == 0 && (slot = tab_next(&v->missing, &i))) {
		struct tab seen = TAB_INIT;
		bool is_needed = false;

		r = needed(v, slot->key.p, &seen, &is_needed);
		tab_done(&seen);
		if (r == 0 && is_needed) {
			fault(v, "path '%s' disappeared, but valid paths refer to it", slot->key.p);
			v->errors++;
		} else if (r == 0) {
			fault(v, "path '%s' disappeared, removing it from the database",
			      slot->key.p);
			r = forget(v, slot->key.p);
		}
	}
	if (r == 0)
		return db_commit(v->db, v->e);
	db_rollback(v->db);
	return r;
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
	v->errors++;
	if (why) {
		fault(v, "path '%s' cannot be read: %s", info->path, why);
		return 0;
	}
	digest_hex(&info->nar_hash, want_hex);
	digest_hex(got, got_hex);
	fault(v, "path '%s' was modified! expected hash '%s', got '%s'", info->path, want_hex,
	      got_hex);
	return 0;
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

int local_verify(struct local *l, bool contents, local_report_fn *report, void *arg,
		 uint64_t *ret_errors, struct err *e)
{
	struct verifier v = { .l = l, .report = report, .arg = arg, .e = e };
	auto_fd int gc_fd = -1;
	int r = local_begin(l, &v.db, e);

	v.locked = true;
	if (r == 0)
		r = local_gc_lock(l, true, true, &gc_fd, e);
	if (r == 0)
		r = db_all_valid(v.db, &v.a, &v.valid, e);
	if (r == 0)
		r = find_missing(&v);
	if (r == 0 && v.missing.count)
		r = handle_missing(&v);
	fd_close(&gc_fd);
	if (r == 0)
		r = tell_late(&v);
	for (size_t i = 0; r == 0 && contents && i < v.valid.n; i++)
		if (!tab_has(&v.missing, slice_of(v.valid.v[i])) &&
		    local_check_path(l, v.valid.v[i], NULL) == 0)
			r = check_contents(&v, v.valid.v[i], false);
	tab_done(&v.missing);
	vec_done(&v.valid);
	vec_done(&v.late);
	arena_done(&v.a);
	if (r == 0)
		*ret_errors = v.errors;
	return r;
}
