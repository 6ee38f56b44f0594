/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Adding to a local store. The order is always: lock, tree in place and canonical, data on disk,
 * one transaction that makes the paths valid, unlock. What a crash leaves before the transaction
 * is rubbish that the next attempt or the collector removes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "lib/wire.h"
#include "store/format/ca.h"
#include "store/local/db.h"
#include "store/limits.h"
#include "store/local/links.h"
#include "store/local/local-state.h"
#include "store/format/nar.h"

/* Files that are waited for one by one; beyond, one syncfs is quicker. */
#define SYNC_SINGLE 6
/* A pending transaction ends at these. */
#define PENDING_MAX 1000
#define PENDING_NS  1000000000u

/* ---- Waiting for the disk ---------------------------------------------------------------------
 */

static int sync_fd(int fd, const char *name, struct err *e)
{
	return fsync(fd) < 0 ? err_sys(e, "fsync %s", name) : 0;
}

/* -E2BIG, without e, when there are more than *budget entries. */
static int sync_tree(int dirfd, const char *name, unsigned *budget, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	auto_fd int fd = -1;
	struct stat st;
	int r = 0;

	if (!*budget)
		return -E2BIG;
	--*budget;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "%s", name);
	if (S_ISLNK(st.st_mode))
		return 0; /* lies in its directory or inode: the directory's fsync writes it */
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, "open %s", name);
	if (S_ISDIR(st.st_mode)) {
		r = nar_list_dir(&a, fd, &names);
		if (r < 0)
			return err_num(e, r, "list %s", name);
	}
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = sync_tree(fd, names.v[i], budget, e);
	return r < 0 ? r : sync_fd(fd, name, e);
}

int local_sync_item(struct local *l, const char *base, unsigned *budget, struct err *e)
{
	int r;

	if (!l->sync || !*budget)
		return 0;
	r = sync_tree(l->store_fd, base, budget, e);
	return r == -E2BIG ? 0 : r;
}

/* After local_sync_item for everything: names in the store, and all the rest when the budget was
 * used up. */
static int sync_end(struct local *l, unsigned budget, struct err *e)
{
	if (!l->sync)
		return 0;
	if (budget)
		return sync_fd(l->store_fd, l->store_phys, e);
	return syncfs(l->store_fd) < 0 ? err_sys(e, "syncfs %s", l->store_phys) : 0;
}

/* ---- Registering ------------------------------------------------------------------------------
 */

static bool is_drv(const char *path)
{
	return slice_ends(slice_of(path), ".drv");
}

/* What a .drv says of its outputs must be what follows from it, or two derivations could claim one
 * path. */
static int check_drv(struct local *l, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct drv *d;
	int r;

	if (!is_drv(path))
		return 0;
	r = local_drv(l, &a, path, &d, e);
	return r < 0 ? r : drv_check_outputs(l->store_dir, d, local_modulo, l, e);
}

static int insert_outputs(struct local *l, struct db *db, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct drv *d;
	int r;

	if (!is_drv(path))
		return 0;
	r = local_drv(l, &a, path, &d, e);
	for (size_t i = 0; r == 0 && i < d->noutputs; i++)
		r = db_add_output(db, path, d->outputs[i].id, d->outputs[i].path, e);
	return r;
}

static int insert(struct local *l, struct db *db, const struct store_info *info, struct err *e)
{
	struct store_info now = *info;
	bool valid;
	int r = db_is_valid(db, info->path, &valid, e);

	if (r < 0)
		return r;
	if (valid)
		return db_update(db, info, e);
	if (!now.registered)
		now.registered = (uint64_t)time(NULL);
	r = db_insert(db, &now, e);
	return r < 0 ? r : insert_outputs(l, db, info->path, e);
}

static int insert_refs(struct db *db, const struct store_info *info, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < info->nrefs; i++)
		r = db_add_ref(db, info->path, info->refs[i], e);
	return r;
}

/* ---- No cycles --------------------------------------------------------------------------------
 */

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

struct node {
	const struct store_info *info;
	enum mark mark;
	size_t next; /* reference to look at */
};

/* Depth first without recursion; a reference to an open node other than itself closes a cycle. */
static int visit(struct tab *nodes, struct node *start, struct node **stack, struct err *e)
{
	size_t depth = 0;

	if (start->mark == MARK_DONE)
		return 0;
	start->mark = MARK_OPEN;
	stack[depth++] = start;
	while (depth) {
		struct node *n = stack[depth - 1], *m;

		if (n->next == n->info->nrefs) {
			n->mark = MARK_DONE;
			depth--;
			continue;
		}
		m = tab_find(nodes, slice_of(n->info->refs[n->next++]));
		if (!m || m == n || m->mark == MARK_DONE)
			continue;
		if (m->mark == MARK_OPEN)
			return err_set(e, -ERR_BUILD, "cycle detected in the references of '%s'",
				       m->info->path);
		m->mark = MARK_OPEN;
		stack[depth++] = m;
	}
	return 0;
}

static int check_cycles(const struct store_info *const *infos, size_t n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_tab struct tab nodes = TAB_INIT;
	struct node *all = arena_array(&a, n, sizeof(*all));
	struct node **stack = arena_array(&a, n, sizeof(struct node *)), **slot;
	int r = 0;

	if (!all || !stack)
		return err_num(e, -ENOMEM, "register paths");
	for (size_t i = 0; i < n; i++) {
		slot = (struct node **)tab_put(&nodes, slice_of(infos[i]->path), NULL);
		if (!slot)
			return err_num(e, -ENOMEM, "register paths");
		all[i].info = infos[i];
		*slot = &all[i];
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = visit(&nodes, &all[i], stack, e);
	return r;
}

/* ---- The transaction --------------------------------------------------------------------------
 */

static int check_infos(struct local *l, const struct store_info *const *infos, size_t n,
		       struct err *e)
{
	int r = check_cycles(infos, n, e);

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = local_check_path(l, infos[i]->path, e);
		if (r == 0)
			r = check_drv(l, infos[i]->path, e);
	}
	return r;
}

static int sync_all(struct local *l, const struct store_info *const *infos, size_t n, struct err *e)
{
	unsigned budget = SYNC_SINGLE;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = local_sync_item(l, local_base(l, infos[i]->path), &budget, e);
	return r < 0 ? r : sync_end(l, budget, e);
}

/* Data to disk, then the rows. The infos were checked. */
static int commit(struct local *l, const struct store_info *const *infos, size_t n, struct err *e)
{
	struct db *db;
	int r = sync_all(l, infos, n, e);

	if (r == 0)
		r = local_db(l, &db, e);
	if (r == 0)
		r = db_begin(db, e);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = insert(l, db, infos[i], e);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = insert_refs(db, infos[i], e);
	if (r == 0) {
		l->state->unsettled = true;
		return db_commit(db, e);
	}
	db_rollback(db);
	return r;
}

int local_register(struct local *l, const struct store_info *const *infos, size_t n, struct err *e)
{
	int r = local_flush(l, e);

	if (r == 0)
		r = check_infos(l, infos, n, e);
	return r < 0 ? r : commit(l, infos, n, e);
}

/* ---- Pending additions ------------------------------------------------------------------------
 */

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct store_info *local_pending_find(const struct local *l, const char *path)
{
	return tab_find(&l->state->pending.tab, slice_of(path));
}

bool local_pending(const struct local *l)
{
	return l->state->pending.order.n > 0;
}

void local_pending_drop(struct local *l, bool forked)
{
	struct pending *p = &l->state->pending;

	/* In a forked child the locks are the parent's: closing our copies does not release them.
	 */
	local_unlock(l, &p->locks, !forked);
	tab_done(&p->tab);
	vec_done(&p->order);
	arena_done(&p->arena);
}

int local_flush(struct local *l, struct err *e)
{
	struct pending *p = &l->state->pending;
	int r;

	if (!p->order.n)
		return 0;
	r = commit(l, (const struct store_info *const *)p->order.v, p->order.n, e);
	for (size_t i = 0; r < 0 && i < p->order.n; i++) {
		const struct store_info *info = p->order.v[i];

		(void)file_delete_tree(l->store_fd, local_base(l, info->path), NULL, NULL);
	}
	local_pending_drop(l, false);
	return r < 0 ? err_wrap(e, r, "register paths") : 0;
}

int local_settle(struct local *l, struct err *e)
{
	struct db *db;
	int r = local_begin(l, &db, e);

	if (r == 0 && l->sync)
		r = db_sync(db, e);
	if (r == 0)
		l->state->unsettled = false;
	return r;
}

int local_settle_own(struct local *l, struct err *e)
{
	return local_pending(l) || l->state->unsettled ? local_settle(l, e) : 0;
}

static int pending_locks(struct pending *p, struct local_locks *locks)
{
	struct local_lock_file *bigger =
		mem_realloc(p->locks.v, (p->locks.n + locks->n + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	if (locks->n)
		memcpy(bigger + p->locks.n, locks->v, locks->n * sizeof(*bigger));
	p->locks.v = bigger;
	p->locks.n += locks->n;
	free(locks->v);
	*locks = (struct local_locks)LOCAL_LOCKS_INIT;
	return 0;
}

static int pending_add(struct pending *p, const struct store_info *info)
{
	struct store_info *copy = arena_dup(&p->arena, info, sizeof(*info));
	struct store_info **slot;

	if (!copy)
		return -ENOMEM;
	copy->path = arena_str(&p->arena, info->path);
	copy->deriver = arena_str(&p->arena, info->deriver ? info->deriver : "");
	copy->sigs = arena_str(&p->arena, info->sigs ? info->sigs : "");
	copy->ca = arena_str(&p->arena, info->ca ? info->ca : "");
	copy->refs = arena_array(&p->arena, info->nrefs, sizeof(char *));
	for (size_t i = 0; copy->refs && i < info->nrefs; i++)
		copy->refs[i] = arena_str(&p->arena, info->refs[i]);
	if (!copy->registered)
		copy->registered = (uint64_t)time(NULL);
	if (arena_err(&p->arena) < 0)
		return -ENOMEM;
	slot = (struct store_info **)tab_put(&p->tab, slice_of(copy->path), NULL);
	if (!slot)
		return -ENOMEM;
	*slot = copy;
	vec_add(&p->order, copy);
	return p->order.err;
}

/* The transaction will refuse references that are not valid; say so now, to whoever asked. */
static int check_refs(struct local *l, const struct store_info *const *infos, size_t n,
		      struct err *e)
{
	bool valid = false;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < infos[i]->nrefs; k++) {
			const char *ref = infos[i]->refs[k];

			valid = false;
			for (size_t j = 0; j < n && !valid; j++)
				valid = !strcmp(ref, infos[j]->path);
			if (!valid)
				r = local_is_valid(l, ref, &valid, e);
			if (r == 0 && !valid)
				r = err_set(e, -ERR_NOTVALID,
					    "path '%s' is not valid, but '%s' refers to it", ref,
					    infos[i]->path);
			if (r < 0)
				return r;
		}
	return 0;
}

int local_register_later(struct local *l, const struct store_info *const *infos, size_t n,
			 struct local_locks *locks, struct err *e)
{
	struct pending *p = &l->state->pending;
	int r = check_infos(l, infos, n, e);

	if (r == 0)
		r = check_refs(l, infos, n, e);
	if (r < 0)
		return r;
	if (!p->order.n)
		p->since = now_ns();
	r = pending_locks(p, locks);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = pending_add(p, infos[i]);
	if (r < 0)
		return err_num(e, r, "register paths");
	return p->order.n >= PENDING_MAX || now_ns() - p->since > PENDING_NS ? local_flush(l, e)
									     : 0;
}

/* ---- Putting things in place ------------------------------------------------------------------
 */

/* Moving a directory to another parent rewrites its "..", so it must be writable by us. */
static int move_dir(int fromfd, const char *name, int store_fd, const char *base)
{
	static const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };

	if (fchmodat(fromfd, name, 0755, AT_SYMLINK_NOFOLLOW) < 0 ||
	    renameat(fromfd, name, store_fd, base) < 0 || fchmodat(store_fd, base, 0555, 0) < 0 ||
	    utimensat(store_fd, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

int local_move_in(struct local *l, int fromfd, const char *name, const char *path, struct err *e)
{
	const char *base = local_base(l, path);
	struct stat st;
	int r;

	if (fstatat(l->store_fd, base, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		r = file_delete_tree(l->store_fd, base, NULL, e);
		if (r < 0)
			return err_wrap(e, r, "remove what is left of %s", path);
	}
	if (renameat(fromfd, name, l->store_fd, base) == 0)
		return 0;
	r = -errno;
	if (r == -EACCES && fstatat(fromfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode))
		r = move_dir(fromfd, name, l->store_fd, base);
	return r < 0 ? err_num(e, r, "move %s in place", path) : 0;
}

/* Give path a temporary root, and lock it unless it is valid. */
static int claim(struct local *l, const char *path, bool *ret_valid, struct local_locks *ret,
		 struct err *e)
{
	int r = local_temp_root(l, path, e);

	if (r == 0)
		r = local_is_valid(l, path, ret_valid, e);
	if (r < 0 || *ret_valid)
		return r;
	r = local_lock_more(l, &path, 1, true, ret, e);
	if (r == 0)
		r = local_is_valid(l, path, ret_valid, e); /* made while we waited? */
	if (r < 0 || *ret_valid)
		local_unlock(l, ret, true);
	return r;
}

int local_deduplicate(struct local *l, const char *path, const struct digest *known, struct err *e)
{
	return l->dedup ? links_tree(l, local_base(l, path), known, NULL, e) : 0;
}

/* Register an item that is in place; on failure its files go, as long as the lock is ours. */
static int finish(struct local *l, const struct store_info *info, const struct digest *known,
		  struct local_locks *locks, struct err *e)
{
	int r = local_deduplicate(l, info->path, known, e);

	if (r == 0)
		r = local_register_later(l, &info, 1, locks, e);
	if (r < 0 && locks->n) {
		(void)file_delete_tree(l->store_fd, local_base(l, info->path), NULL, NULL);
		local_unlock(l, locks, true);
	}
	return r;
}

/* ---- Texts ------------------------------------------------------------------------------------
 */

static const struct timespec epoch1[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

static int write_text(struct local *l, const char *path, struct slice contents, struct err *e)
{
	const char *base = local_base(l, path);
	auto_fd int fd = -1;
	int r = file_delete_tree(l->store_fd, base, NULL, e);

	if (r < 0)
		return err_wrap(e, r, "remove what is left of %s", path);
	fd = openat(l->store_fd, base, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return err_sys(e, "create %s", path);
	r = fd_write_full(fd, contents.p, contents.n);
	if (r == 0 && (fchmod(fd, 0444) < 0 || futimens(fd, epoch1) < 0))
		r = -errno;
	if (r < 0) {
		(void)unlinkat(l->store_fd, base, 0); /* the first error counts */
		return err_num(e, r, "write %s", path);
	}
	return 0;
}

/* The hash of the archive of a plain file. */
static int text_hash(struct slice contents, struct store_info *info)
{
	static const char *const words[] = { "nix-archive-1", "(", "type", "regular", "contents" };
	static const char zeros[8];
	auto_str struct str head = STR_INIT, tail = STR_INIT;
	struct hasher *h;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		wr_cstr(&head, words[i]);
	wr_u64(&head, contents.n);
	str_addn(&tail, zeros, wire_pad(contents.n));
	wr_cstr(&tail, ")");
	r = str_err(&head) < 0 ? str_err(&head) : str_err(&tail);
	if (r == 0)
		r = hasher_new(DIGEST_SHA256, &h);
	if (r < 0)
		return r;
	hasher_add(h, head.buf, head.len);
	hasher_add(h, contents.p, contents.n);
	hasher_add(h, tail.buf, tail.len);
	info->nar_hash = hasher_end(h);
	info->nar_size = head.len + contents.n + tail.len;
	return 0;
}

static int sorted_refs(struct arena *a, const char *const *refs, size_t n, struct store_info *info,
		       struct err *e)
{
	auto_vec struct vec v = VEC_INIT;

	for (size_t i = 0; i < n; i++)
		vec_add(&v, (void *)(uintptr_t)refs[i]);
	vec_sort_str(&v);
	vec_uniq_str(&v);
	info->refs = arena_dup(a, v.v, v.n * sizeof(char *));
	info->nrefs = v.n;
	return v.err < 0 || !info->refs ? err_num(e, -ENOMEM, "references") : 0;
}

int local_add_text(struct local *l, struct arena *a, const char *name, struct slice contents,
		   const char *const *refs, size_t nrefs, char **ret, struct err *e)
{
	struct local_locks locks = LOCAL_LOCKS_INIT;
	struct store_info info = { .deriver = "" };
	struct digest digest;
	bool valid = false;
	char *path;
	int r;

	if (contents.n > LIMIT_TEXT_ITEM)
		return err_set(e, -ERR_LIMIT, "text item '%s' is larger than %u MiB", name,
			       LIMIT_TEXT_ITEM >> 20);
	digest = digest_of(DIGEST_SHA256, contents.p, contents.n);
	path = store_path_text_hash(a, l->store_dir, slice_of(name), &digest, refs, nrefs, e);
	if (!path)
		return -ERR_INVALID;
	info.path = path;
	info.ca = ca_text(a, &digest);
	r = sorted_refs(a, refs, nrefs, &info, e);
	if (r == 0)
		r = claim(l, path, &valid, &locks, e);
	if (r < 0)
		return err_wrap(e, r, "add text '%s'", name);
	if (!valid) {
		r = text_hash(contents, &info);
		if (r < 0)
			err_num(e, r, "hash");
		else
			r = write_text(l, path, contents, e);
		if (r == 0)
			r = finish(l, &info, &info.nar_hash, &locks, e);
		else
			local_unlock(l, &locks, true);
	}
	if (r < 0)
		return err_wrap(e, r, "add text '%s'", name);
	*ret = path;
	return 0;
}

/* ---- Archives ---------------------------------------------------------------------------------
 */

static int unpack(struct local *l, struct nar_source *in, enum digest_algo second,
		  struct local_tree *u, struct err *e)
{
	struct hasher *h[2] = { NULL, NULL };
	struct nar_tee tee;
	struct stat st;
	int r = local_tmp_dir(l, &u->dirfd, e);

	if (r < 0)
		return r;
	r = hasher_new(DIGEST_SHA256, &h[0]);
	if (r == 0 && second != DIGEST_SHA256)
		r = hasher_new(second, &h[1]);
	if (r < 0) {
		hasher_free(h[0]);
		return err_num(e, r, "hash");
	}
	local_tmp_name(l, u->name);
	nar_tee_init(&tee, in, h[0], h[1]);
	r = nar_restore_canonical(&tee.source, u->dirfd, u->name, e);
	if (r < 0) {
		hasher_free(h[0]);
		hasher_free(h[1]);
		return r;
	}
	u->nar_hash = hasher_end(h[0]);
	u->other = h[1] ? hasher_end(h[1]) : u->nar_hash;
	u->size = tee.size;
	u->file = fstatat(u->dirfd, u->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
	return 0;
}

void local_tree_drop(struct local_tree *u)
{
	(void)file_delete_tree(u->dirfd, u->name, NULL, NULL); /* else local_close does it */
}

int local_unpack(struct local *l, struct nar_source *in, struct local_tree *ret, struct err *e)
{
	return unpack(l, in, DIGEST_SHA256, ret, e);
}

static int hash_contents(int fd, enum digest_algo algo, struct digest *ret, struct err *e)
{
	struct hasher *h;
	char buf[64 << 10];
	ssize_t n;
	int r = hasher_new(algo, &h);

	if (r < 0)
		return err_num(e, r, "hash");
	while ((n = fd_read_some(fd, buf, sizeof(buf))) > 0)
		hasher_add(h, buf, (size_t)n);
	*ret = hasher_end(h);
	return n < 0 ? err_num(e, (int)n, "read the new item") : 0;
}

/* Flat addressing: the hash of the contents; an x bit does not count and goes. */
static int hash_flat(struct local_tree *u, enum digest_algo algo, struct digest *ret, struct err *e)
{
	auto_fd int fd = -1;
	struct stat st;
	int r;

	if (!u->file)
		return err_set(e, -ERR_INVALID, "only a regular file can be added by its contents");
	fd = openat(u->dirfd, u->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open the new item");
	if (st.st_mode & 0100) {
		if (fchmod(fd, 0444) < 0)
			return err_sys(e, "set the mode of the new item");
		r = nar_hash(u->dirfd, u->name, DIGEST_SHA256, NULL, NULL, &u->nar_hash, &u->size,
			     e);
		if (r < 0)
			return r;
	}
	return hash_contents(fd, algo, ret, e);
}

/* Move an unpacked tree to info->path and register it. */
static int place(struct local *l, struct local_tree *u, struct store_info *info,
		 struct local_locks *locks, struct err *e)
{
	int r = local_move_in(l, u->dirfd, u->name, info->path, e);

	if (r < 0) {
		local_unlock(l, locks, true);
		return r;
	}
	return finish(l, info, u->file ? &u->nar_hash : NULL, locks, e);
}

int local_add_tree(struct local *l, struct store_info *info, struct local_tree *t, struct err *e)
{
	struct local_locks locks = LOCAL_LOCKS_INIT;
	bool valid = false;
	int r = claim(l, info->path, &valid, &locks, e);

	info->nar_hash = t->nar_hash;
	info->nar_size = t->size;
	if (r == 0 && !valid)
		r = place(l, t, info, &locks, e);
	if (r < 0 || valid)
		local_tree_drop(t);
	return r;
}

int local_add_nar(struct local *l, struct arena *a, const char *name, bool recursive,
		  enum digest_algo algo, struct nar_source *in, char **ret, struct err *e)
{
	struct local_locks locks = LOCAL_LOCKS_INIT;
	struct store_info info = { .deriver = "" };
	struct local_tree u;
	struct digest hash;
	bool valid = false;
	char *path = NULL;
	int r = store_name_check(slice_of(name), e);

	if (r == 0)
		r = unpack(l, in, recursive ? algo : DIGEST_SHA256, &u, e);
	if (r < 0)
		return err_wrap(e, r, "add '%s'", name);
	hash = u.other;
	if (!recursive)
		r = hash_flat(&u, algo, &hash, e);
	if (r == 0) {
		path = store_path_fixed(a, l->store_dir, slice_of(name), recursive, &hash, e);
		r = path ? claim(l, path, &valid, &locks, e) : -ERR_INVALID;
	}
	if (r == 0 && !valid) {
		info.path = path;
		info.nar_hash = u.nar_hash;
		info.nar_size = u.size;
		info.ca = ca_fixed(a, recursive, &hash);
		r = place(l, &u, &info, &locks, e);
	}
	if (r < 0 || valid)
		local_tree_drop(&u);
	if (r < 0)
		return err_wrap(e, r, "add '%s'", name);
	*ret = path;
	return 0;
}

/* Whether the contents have the hash that the content address names. */
static int check_ca(struct local_tree *u, const struct store_info *info, struct err *e)
{
	struct slice ca = slice_of(info->ca);
	bool recursive = false, flat = true;
	struct digest want, got = u->nar_hash;
	uint64_t size;
	int r = 0;

	if (ca_parse_text(ca, &want) < 0) {
		if (ca_parse_fixed(ca, &recursive, &want) < 0)
			return err_set(e, -ERR_INVALID, "%s: bad content address '%.100s'",
				       info->path, info->ca);
		flat = !recursive;
	}
	if (flat)
		r = hash_flat(u, want.algo, &got, e);
	else if (want.algo != DIGEST_SHA256)
		r = nar_hash(u->dirfd, u->name, want.algo, NULL, NULL, &got, &size, e);
	if (r == 0 && !digest_eq(&want, &got))
		r = err_set(e, -ERR_HASH, "%s: the contents are not those of its address %s",
			    info->path, info->ca);
	return r;
}

/* A tree that is what info says, or nothing. */
int local_unpack_known(struct local *l, const struct store_info *info, struct nar_source *in,
		       struct local_tree *u, struct err *e)
{
	char want[DIGEST_TEXT_MAX], got[DIGEST_TEXT_MAX];
	int r = unpack(l, in, DIGEST_SHA256, u, e);

	if (r < 0)
		return err_wrap(e, r, "add %s", info->path);
	if (!digest_eq(&u->nar_hash, &info->nar_hash) ||
	    (info->nar_size && info->nar_size != u->size)) {
		digest_hex(&info->nar_hash, want);
		digest_hex(&u->nar_hash, got);
		r = err_set(e, -ERR_HASH, "%s: expected the archive %s, got %s", info->path, want,
			    got);
	}
	if (r == 0 && info->ca && *info->ca)
		r = check_ca(u, info, e);
	if (r < 0)
		local_tree_drop(u);
	return r;
}

int local_place_known(struct local *l, const struct store_info *info, struct local_tree *u,
		      struct err *e)
{
	int r = local_move_in(l, u->dirfd, u->name, info->path, e);

	if (r == 0)
		r = local_deduplicate(l, info->path, u->file ? &u->nar_hash : NULL, e);
	if (r == 0)
		r = local_register(l, &info, 1, e);
	if (r < 0)
		local_tree_drop(u);
	return r;
}

int local_add_known(struct local *l, const struct store_info *info, struct nar_source *in,
		    struct err *e)
{
	struct local_tree u;
	int r = local_unpack_known(l, info, in, &u, e);

	return r < 0 ? r : local_place_known(l, info, &u, e);
}

int local_mend(struct local *l, const struct store_info *info, struct nar_source *in, struct err *e)
{
	struct local_tree u;
	int r = local_unpack_known(l, info, in, &u, e);

	if (r < 0)
		return r;
	r = local_replace(l, u.dirfd, u.name, info->path, e);
	local_tree_drop(&u); /* what was damaged, by now */
	return r;
}

/* ---- Signatures -------------------------------------------------------------------------------
 */

static int add_sigs(struct db *db, const char *path, const struct vec *sigs, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec all = VEC_INIT;
	auto_str struct str text = STR_INIT;
	struct store_info *info;
	struct slice rest, word;
	int r = db_info(db, &a, path, false, &info, e);

	if (r < 0)
		return r;
	rest = slice_of(info->sigs);
	while (slice_cut(&rest, ' ', &word))
		if (word.n)
			vec_add(&all, arena_slice(&a, word));
	for (size_t i = 0; i < sigs->n; i++)
		vec_add(&all, sigs->v[i]);
	vec_sort_str(&all);
	vec_uniq_str(&all);
	for (size_t i = 0; i < all.n; i++)
		str_addf(&text, "%s%s", i ? " " : "", (const char *)all.v[i]);
	if (all.err < 0 || arena_err(&a) < 0 || str_err(&text) < 0)
		return err_num(e, -ENOMEM, "signatures of %s", path);
	return text.len ? db_set_sigs(db, path, text.buf, e) : 0;
}

int local_add_sigs(struct local *l, const char *path, const struct vec *sigs, struct err *e)
{
	struct db *db;
	int r;

	if (l->dialect != DIALECT_NIX)
		return err_set(e, -ERR_UNSUPPORTED, "this store keeps no signatures");
	r = local_begin(l, &db, e);
	if (r == 0)
		r = db_begin(db, e);
	if (r < 0)
		return r;
	r = add_sigs(db, path, sigs, e);
	if (r == 0)
		return db_commit(db, e);
	db_rollback(db);
	return r;
}
