/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A local store: opening, and questions about it. */
#include "store/local/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "lib/mem.h"
#include "store/local/db.h"
#include "store/kernel.h"
#include "store/limits.h"
#include "store/local/local-state.h"

/* ---- Opening ----------------------------------------------------------------------------------
 */

/* Open directory path below base_fd part by part, made as needed. With no_links a symbolic link on
 * the way is refused: builds would see other paths than the derivations say. */
static int open_dirs(int base_fd, const char *path, bool no_links, int *ret, struct err *e)
{
	auto_fd int fd = fcntl(base_fd, F_DUPFD_CLOEXEC, 3);
	struct slice rest = slice_of(path), part;
	char name[NAME_MAX + 1];
	int next;

	while (fd >= 0 && slice_cut(&rest, '/', &part)) {
		if (!part.n)
			continue;
		if (part.n > NAME_MAX)
			return err_num(e, -ENAMETOOLONG, "%s", path);
		memcpy(name, part.p, part.n);
		name[part.n] = 0;
		if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST && errno != EROFS)
			return err_sys(e, "make the directory %s in %s", name, path);
		next = openat(fd, name,
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC | (no_links ? O_NOFOLLOW : 0));
		if (next < 0 && no_links && (errno == ENOTDIR || errno == ELOOP))
			return err_set(e, -ERR_INVALID,
				       "the store %s may not lie behind a symbolic link ('%s' is "
				       "one)",
				       path, name);
		if (next < 0)
			return err_sys(e, "open the directory %s of %s", name, path);
		fd_close(&fd);
		fd = next;
	}
	if (fd < 0)
		return err_sys(e, "open %s", path);
	*ret = fd_take(&fd);
	return 0;
}

static int make_dir(int fd, const char *name, mode_t mode, struct err *e)
{
	if (mkdirat(fd, name, mode) == 0 || errno == EEXIST || errno == EROFS)
		return 0;
	return err_sys(e, "make the directory %s", name);
}

/* Of which family the store is whose db/schema (below statefd, which names dir) says text. */
static int family_of(const char *dir, struct slice text, enum dialect want, enum dialect *ret,
		     struct err *e)
{
	for (enum dialect d = 0; d < DIALECT_ANY; d++) {
		if (!slice_is(slice_trim(text), dialect_facts(d)->schema))
			continue;
		*ret = d;
		if (want == DIALECT_ANY || want == d)
			return 0;
		return err_set(
			e, -ERR_UNSUPPORTED,
			"the database in %s is of the family '%s', not '%s' (--state-dir names "
			"another one)",
			dir, dialect_facts(d)->name, dialect_facts(want)->name);
	}
	if (!slice_trim(text).n)
		return err_hint(e, err_set(e, -ERR_DB, "%s/db/schema is empty", dir),
				"7 belongs there for Guix's family, 10 for Nix's");
	return err_set(
		e, -ERR_UNSUPPORTED,
		"the database in %s has schema %.*s; only 7 (Guix) and 10 (Nix) are supported", dir,
		(int)(text.n < 20 ? text.n : 20), text.p);
}

/* The number in db/schema is written when the store is new. */
static int check_schema(struct local *l, struct err *e)
{
	auto_str struct str text = STR_INIT;
	const char *schema;
	int r = file_read(l->state_fd, "db/schema", &text, 64, NULL);

	if (r == -ENOENT) {
		if (l->dialect == DIALECT_ANY)
			l->dialect = DIALECT_GUIX;
		schema = dialect_facts(l->dialect)->schema;
		return file_write_atomic(l->state_fd, "db/schema", schema, strlen(schema), 0644, e);
	}
	if (r < 0)
		return err_num(e, r, "read %s/db/schema", l->state_phys);
	return family_of(l->state_phys, str_slice(&text), l->dialect, &l->dialect, e);
}

int local_check_family(const char *state_phys, enum dialect want, struct err *e)
{
	auto_str struct str file = STR_INIT, text = STR_INIT;
	enum dialect d;
	int r;

	str_addf(&file, "%s/db/schema", state_phys);
	if (str_err(&file) < 0)
		return err_num(e, -ENOMEM, "%s", state_phys);
	r = file_read(AT_FDCWD, file.buf, &text, 64, NULL);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? err_num(e, r, "read %s", file.buf)
		     : family_of(state_phys, str_slice(&text), want, &d, e);
}

static int open_state(struct local *l, struct err *e)
{
	static const char *const dirs[] = { "db",	"gcroots",	     "gcroots/auto",
					    "profiles", "profiles/per-user", "temproots" };
	int r = 0, fd;

	for (size_t i = 0; r == 0 && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		r = make_dir(l->state_fd, dirs[i], 0755, e);
	if (r < 0)
		return r;
	r = check_schema(l, e);
	if (r < 0)
		return r;
	/* Whoever changes the schema waits for all of us. */
	fd = openat(l->state_fd, "db/big-lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "open %s/db/big-lock", l->state_phys);
	l->state->big_lock = fd;
	r = fd_lock(fd, false, true);
	return r < 0 ? err_num(e, r, "lock %s/db/big-lock", l->state_phys) : 0;
}

/* A store that is mounted read-only is written through a mount namespace of our own, in which its
 * mount is writable: nobody else sees that. Where it cannot be had, or the file system itself is
 * not writable, the first write says so. */
static void make_writable(const struct local *l)
{
	struct statvfs v;

	if (statvfs(l->store_phys, &v) == 0 && (v.f_flag & ST_RDONLY) && unshare(CLONE_NEWNS) == 0)
		(void)kernel_mount_setattr(AT_FDCWD, l->store_phys, 0, 0, KERNEL_MOUNT_ATTR_RDONLY);
}

static char *joined(const char *root, const char *path)
{
	struct str s = STR_INIT;

	str_add(&s, root);
	str_add(&s, path);
	return str_take(&s);
}

static int open_all(struct local *l, struct err *e)
{
	auto_fd int root_fd = -1;
	int r;

	if (*l->root) {
		r = file_mkdir_p(AT_FDCWD, l->root, 0755, e);
		if (r < 0)
			return r;
	}
	make_writable(l);
	root_fd = open(*l->root ? l->root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return err_sys(e, "open %s", l->root);
	r = open_dirs(root_fd, l->store_dir, true, &l->store_fd, e);
	if (r == 0)
		r = open_dirs(root_fd, l->state_dir, false, &l->state_fd, e);
	if (r == 0)
		r = open_dirs(root_fd, l->log_dir, false, &l->log_fd, e);
	return r == 0 ? open_state(l, e) : r;
}

static int check_opts(const struct local *l, struct err *e)
{
	const char *dirs[] = { l->store_dir, l->state_dir, l->log_dir };

	for (size_t i = 0; i < 3; i++)
		if (dirs[i][0] != '/' || !dirs[i][1] || dirs[i][strlen(dirs[i]) - 1] == '/')
			return err_set(e, -ERR_INVALID,
				       "'%s' is no absolute directory without '/' at the end",
				       dirs[i]);
	if (*l->root && l->root[0] != '/')
		return err_set(e, -ERR_INVALID, "the private root '%s' is not absolute", l->root);
	return 0;
}

int local_open(const struct local_opts *opts, struct local **ret, struct err *e)
{
	struct local *l = mem_zalloc(sizeof(*l));
	struct local_state *s = mem_zalloc(sizeof(*s));
	const char *root = opts->root ? opts->root : "";
	const struct dialect_facts *usual =
		dialect_facts(opts->dialect == DIALECT_NIX ? DIALECT_NIX : DIALECT_GUIX);
	int r = -ENOMEM;

	if (!l || !s) {
		free(l);
		free(s);
		return err_num(e, -ENOMEM, "open the store");
	}
	l->state = s;
	l->store_fd = l->state_fd = l->log_fd = -1;
	s->big_lock = s->roots_fd = s->tmp_fd = -1;
	s->pid = getpid();
	l->sync = !opts->no_sync;
	l->dedup = !opts->no_dedup;
	l->dialect = opts->dialect;
	l->root = strdup(root);
	l->store_dir = strdup(opts->store_dir ? opts->store_dir : usual->store_dir);
	l->state_dir = strdup(opts->state_dir ? opts->state_dir : usual->state_dir);
	l->log_dir = strdup(opts->log_dir ? opts->log_dir : usual->log_dir);
	if (l->root && l->store_dir && l->state_dir && l->log_dir) {
		l->store_phys = joined(root, l->store_dir);
		l->state_phys = joined(root, l->state_dir);
		l->log_phys = joined(root, l->log_dir);
	}
	if (!l->store_phys || !l->state_phys || !l->log_phys)
		err_num(e, r, "open the store");
	else
		r = check_opts(l, e);
	if (r == 0)
		r = open_all(l, e);
	if (r < 0) {
		local_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

static void state_done(struct local *l, bool forked)
{
	struct local_state *s = l->state;

	local_pending_drop(l, forked);
	local_roots_done(l, forked);
	local_tmp_done(l, forked);
	tab_done(&s->modulo);
	arena_done(&s->modulo_arena);
}

void local_close(struct local *l)
{
	if (!l)
		return;
	if (l->store_fd >= 0)
		(void)local_flush(l, NULL); /* whoever needs the answer has called it before */
	state_done(l, false);
	db_close(l->db);
	fd_close(&l->state->big_lock);
	fd_close(&l->store_fd);
	fd_close(&l->state_fd);
	fd_close(&l->log_fd);
	free(l->state);
	free(l->root);
	free(l->store_dir);
	free(l->state_dir);
	free(l->log_dir);
	free(l->store_phys);
	free(l->state_phys);
	free(l->log_phys);
	free(l);
}

void local_forked(struct local *l)
{
	state_done(l, true);
	db_forget(l->db);
	l->db = NULL;
	l->state->pid = getpid();
}

/* Whether there is something in the store directory that looks like an item. */
static int has_items(struct local *l, bool *ret, struct err *e)
{
	static const char *const others[] = { ".lock", ".chroot", ".check" };
	int fd = openat(l->store_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), more = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	*ret = false;
	if (!d) {
		int r = err_sys(e, "open %s", l->store_phys);
		fd_close(&fd);
		return r;
	}
	while (!*ret && (more = file_next(d, &ent)) > 0) {
		auto_str struct str path = STR_INIT;

		str_addf(&path, "%s/%s", l->store_dir, ent->d_name);
		*ret = !str_err(&path) && local_check_path(l, path.buf, NULL) == 0;
		for (size_t i = 0; i < ARRAY_LEN(others); i++)
			*ret &= !slice_ends(slice_of(ent->d_name), others[i]);
	}
	closedir(d);
	return more < 0 ? err_num(e, more, "cannot list %s", l->store_phys) : 0;
}

/* A new database is on the disk before an item is: else a power cut could leave items and no
 * tables, which is refused from then on. */
static int settle_new(struct local *l, struct err *e)
{
	int r = l->sync ? db_sync(l->db, e) : 0;

	if (r == 0 && l->sync)
		r = file_sync(l->state_fd, "db", e);
	if (r < 0) {
		db_close(l->db);
		l->db = NULL;
	}
	return r;
}

/* A database without tables is that of a new store. Items get their names after it has them, so
 * where there are some it was lost, and in its place would come one that calls them rubbish. */
static int open_db(struct local *l, const char *file, struct err *e)
{
	struct err empty = ERR_INIT;
	bool items = false;
	int r = db_open(file, l->dialect, false, &l->db, &empty);

	if (r == -ERR_NOTFOUND)
		r = has_items(l, &items, e);
	else if (r < 0)
		*e = empty;
	if (r < 0 || l->db)
		return r;
	r = db_open(file, l->dialect, !items, &l->db, e); /* somebody else may have made it */
	if (r == 0)
		return settle_new(l, e);
	return r == -ERR_NOTFOUND
		       ? err_hint(e,
				  err_set(e, -ERR_DB,
					  "the database %s is empty, but there are items in %s",
					  file, l->store_phys),
				  "put it back, or take them away")
		       : r;
}

int local_db(struct local *l, struct db **ret, struct err *e)
{
	auto_free char *file = NULL;
	int r;

	if (!l->db) {
		file = joined(l->state_phys, "/db/db.sqlite");
		if (!file)
			return err_num(e, -ENOMEM, "open the database");
		r = open_db(l, file, e);
		if (r < 0)
			return r;
	}
	*ret = l->db;
	return 0;
}

int local_begin(struct local *l, struct db **ret, struct err *e)
{
	int r = local_flush(l, e);

	return r < 0 ? r : local_db(l, ret, e);
}

/* ---- Paths ------------------------------------------------------------------------------------
 */

const char *local_base(const struct local *l, const char *path)
{
	return store_path_base(l->store_dir, slice_of(path)).p;
}

int local_check_path(const struct local *l, const char *path, struct err *e)
{
	return store_path_check(l->store_dir, slice_of(path), e);
}

char *local_physical(const struct local *l, struct arena *a, const char *logical)
{
	return arena_fmt(a, "%s%s", l->root, logical);
}

/* ---- Questions --------------------------------------------------------------------------------
 */

int local_is_valid(struct local *l, const char *path, bool *ret, struct err *e)
{
	struct db *db;
	int r;

	if (local_pending_find(l, path)) {
		*ret = true;
		return 0;
	}
	r = local_db(l, &db, e);
	return r < 0 ? r : db_is_valid(db, path, ret, e);
}

static struct store_info *info_copy(struct arena *a, const struct store_info *from)
{
	struct store_info *info = arena_dup(a, from, sizeof(*from));

	if (!info)
		return NULL;
	info->path = arena_str(a, from->path);
	info->deriver = arena_str(a, from->deriver);
	info->sigs = arena_str(a, from->sigs ? from->sigs : "");
	info->ca = arena_str(a, from->ca ? from->ca : "");
	info->refs = arena_dup(a, from->refs, from->nrefs * sizeof(char *));
	for (size_t i = 0; info->refs && i < from->nrefs; i++)
		info->refs[i] = arena_str(a, from->refs[i]);
	return arena_err(a) < 0 ? NULL : info;
}

int local_info(struct local *l, struct arena *a, const char *path, struct store_info **ret,
	       struct err *e)
{
	const struct store_info *pending = local_pending_find(l, path);
	struct store_info *copy;
	struct db *db;
	int r;

	if (pending) {
		copy = info_copy(a, pending);
		if (!copy)
			return err_num(e, -ENOMEM, "%s", path);
		*ret = copy;
		return 0;
	}
	r = local_db(l, &db, e);
	return r < 0 ? r : db_info(db, a, path, true, ret, e);
}

int local_referrers(struct local *l, struct arena *a, const char *path, struct vec *ret,
		    struct err *e)
{
	struct db *db;
	int r = local_begin(l, &db, e);

	return r < 0 ? r : db_referrers(db, a, path, ret, e);
}

int local_derivers(struct local *l, struct arena *a, const char *path, struct vec *ret,
		   struct err *e)
{
	struct db *db;
	int r = local_begin(l, &db, e);

	return r < 0 ? r : db_derivers(db, a, path, ret, e);
}

int local_drv_outputs(struct local *l, struct arena *a, const char *drv, struct vec *ret_ids,
		      struct vec *ret_paths, struct err *e)
{
	struct db *db;
	int r = local_begin(l, &db, e);

	return r < 0 ? r : db_drv_outputs(db, a, drv, ret_ids, ret_paths, e);
}

int local_by_hash_part(struct local *l, struct arena *a, struct slice part, const char **ret,
		       struct err *e)
{
	auto_str struct str prefix = STR_INIT;
	struct db *db;
	int r = local_begin(l, &db, e);

	if (r < 0)
		return r;
	if (part.n != STORE_HASH_CHARS)
		return err_set(e, -ERR_INVALID, "a hash part has %d characters", STORE_HASH_CHARS);
	str_addf(&prefix, "%s/%.*s-", l->store_dir, (int)part.n, part.p);
	if (str_err(&prefix) < 0)
		return err_num(e, -ENOMEM, "hash part");
	return db_by_prefix(db, a, prefix.buf, ret, e);
}

int local_all_valid(struct local *l, struct arena *a, struct vec *ret, struct err *e)
{
	struct db *db;
	int r = local_begin(l, &db, e);

	return r < 0 ? r : db_all_valid(db, a, ret, e);
}

int local_valid_subset(struct local *l, struct arena *a, const char *const *paths, size_t n,
		       struct vec *ret, struct err *e)
{
	bool valid;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = local_is_valid(l, paths[i], &valid, e);
		if (r == 0 && valid)
			vec_add(ret, arena_str(a, paths[i]));
	}
	if (r < 0)
		return r;
	if (ret->err < 0 || arena_err(a) < 0)
		return err_num(e, -ENOMEM, "valid paths");
	vec_sort_str(ret);
	vec_uniq_str(ret);
	return 0;
}

/* ---- Closures ---------------------------------------------------------------------------------
 */

struct closure {
	struct local *l;
	struct arena *a;
	struct tab seen;
	struct vec todo; /* paths to look at */
	struct vec *ret;
	struct err *e;
};

/* Add path unless known. *ret_new (may be NULL) tells. */
static int closure_add(struct closure *c, const char *path, bool *ret_new)
{
	bool is_new = false;

	if (!tab_put(&c->seen, slice_of(path), &is_new))
		return err_num(c->e, -ENOMEM, "closure");
	if (is_new)
		vec_add(c->ret, (void *)(uintptr_t)path);
	if (ret_new)
		*ret_new = is_new;
	return 0;
}

/* What is pending is walked here; the rest is one query for each entry point. */
static int closure_step(struct closure *c, struct db *db, const char *path)
{
	const struct store_info *info = local_pending_find(c->l, path);
	auto_vec struct vec found = VEC_INIT;
	bool is_new;
	int r;

	if (info) {
		r = closure_add(c, arena_str(c->a, path), &is_new);
		for (size_t i = 0; r == 0 && is_new && i < info->nrefs; i++)
			if (!tab_has(&c->seen, slice_of(info->refs[i])))
				vec_add(&c->todo, (void *)(uintptr_t)info->refs[i]);
		return r;
	}
	r = db_closure(db, c->a, path, &found, c->e);
	if (r == 0 && !found.n)
		r = err_set(c->e, -ERR_NOTVALID, "path '%s' is not valid", path);
	for (size_t i = 0; r == 0 && i < found.n; i++)
		r = closure_add(c, found.v[i], NULL);
	return r;
}

int local_closure(struct local *l, struct arena *a, const char *const *paths, size_t n,
		  struct vec *ret, struct err *e)
{
	struct closure c = { l, a, TAB_INIT, VEC_INIT, ret, e };
	struct db *db;
	int r = local_db(l, &db, e);

	if (r < 0)
		return r;
	for (size_t i = n; i-- > 0;)
		vec_add(&c.todo, (void *)(uintptr_t)paths[i]);
	r = db_begin_read(db, e);
	while (r == 0 && c.todo.n) {
		const char *path = c.todo.v[--c.todo.n];

		if (!tab_has(&c.seen, slice_of(path)))
			r = closure_step(&c, db, path);
	}
	db_end_read(db);
	if (r == 0 && (c.todo.err < 0 || ret->err < 0 || arena_err(a) < 0))
		r = err_num(e, -ENOMEM, "closure");
	tab_done(&c.seen);
	vec_done(&c.todo);
	vec_sort_str(ret);
	return r;
}

/* ---- Derivations ------------------------------------------------------------------------------
 */

int local_drv(struct local *l, struct arena *a, const char *path, struct drv **ret, struct err *e)
{
	struct slice name;
	auto_str struct str text = STR_INIT;
	char *drv_name;
	int r = local_check_path(l, path, e);

	if (r < 0)
		return r;
	name = store_path_name(l->store_dir, slice_of(path));
	if (!slice_ends(name, ".drv") || name.n == strlen(".drv"))
		return err_set(e, -ERR_INVALID, "'%s' is no derivation", path);
	drv_name = arena_strn(a, name.p, name.n - strlen(".drv"));
	if (!drv_name)
		return err_num(e, -ENOMEM, "%s", path);
	r = file_read(l->store_fd, local_base(l, path), &text, LIMIT_DRV_TEXT, NULL);
	if (r < 0)
		return err_num(e, r, "read the derivation %s", path);
	return drv_parse(a, drv_name, str_slice(&text), ret, e);
}

int local_modulo(void *arg, const char *drv_path, struct digest *ret, struct err *e)
{
	struct local *l = arg;
	struct local_state *s = l->state;
	struct digest *known = tab_find(&s->modulo, slice_of(drv_path));
	auto_arena struct arena a = ARENA_INIT;
	struct digest d;
	struct drv *drv;
	void **slot;
	char *key;
	int r;

	if (known) {
		*ret = *known;
		return 0;
	}
	r = local_drv(l, &a, drv_path, &drv, e);
	if (r == 0)
		r = drv_modulo(drv, local_modulo, l, &d, e);
	if (r < 0)
		return r;
	key = arena_str(&s->modulo_arena, drv_path);
	known = arena_dup(&s->modulo_arena, &d, sizeof(d));
	slot = key && known ? tab_put(&s->modulo, slice_of(key), NULL) : NULL;
	if (!slot)
		return err_num(e, -ENOMEM, "%s", drv_path);
	*slot = known;
	*ret = d;
	return 0;
}

void local_modulo_forget(struct local *l, const char *drv_path)
{
	(void)tab_del(&l->state->modulo, slice_of(drv_path)); /* memory goes with the arena */
}
