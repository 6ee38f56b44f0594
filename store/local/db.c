/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one file that uses SQLite. */
#include "store/local/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "store/local/sql.h"

#define BUSY_MS	       (3600 * 1000)
#define VACUUM_WAIT_MS 1000 /* for readers, until the log is empty */

struct db {
	sqlite3 *sql;		 /* owned */
	sqlite3_stmt *st[Q_MAX]; /* owned; NULL until used */
	char *file;		 /* owned; for messages */
	enum dialect dialect;
	int lock_fd; /* FILE.lock */
	bool writing;
};

static int db_fail(struct db *db, struct err *e)
{
	int code = sqlite3_errcode(db->sql);
	int ours = code == SQLITE_FULL	       ? -ENOSPC
		   : code == SQLITE_NOMEM      ? -ENOMEM
		   : code == SQLITE_CONSTRAINT ? -ERR_IN_USE
					       : -ERR_DB;

	return err_set(e, ours, "database %s: %s", db->file, sqlite3_errmsg(db->sql));
}

/* ---- Statements -------------------------------------------------------------------------------
 */

static int prepare(struct db *db, enum statement q, sqlite3_stmt **ret, struct err *e)
{
	if (!db->st[q] &&
	    sqlite3_prepare_v3(db->sql, sql_statements[q], -1, SQLITE_PREPARE_PERSISTENT,
			       &db->st[q], NULL) != SQLITE_OK)
		return db_fail(db, e);
	*ret = db->st[q];
	return 0;
}

static void bind_text(sqlite3_stmt *st, int i, const char *text)
{
	/* Errors of binding show when stepping: a value stays null where none may be. */
	(void)sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
}

/* One row. *ret false at the end, after which the statement is reset. */
static int step(struct db *db, sqlite3_stmt *st, bool *ret, struct err *e)
{
	int r = sqlite3_step(st);

	if (r == SQLITE_ROW) {
		*ret = true;
		return 0;
	}
	if (r == SQLITE_DONE)
		r = 0;
	else
		r = db_fail(db, e);
	sqlite3_reset(st);
	*ret = false;
	return r;
}

/* Run a statement that gives no rows, with up to three texts. */
static int run(struct db *db, enum statement q, const char *const *texts, size_t n, struct err *e)
{
	sqlite3_stmt *st = NULL;
	bool row;
	int r = prepare(db, q, &st, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		bind_text(st, (int)i + 1, texts[i]);
	r = step(db, st, &row, e);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return r;
}
#define run_with(db, q, e, ...)                                                                    \
	run(db, q, (const char *const[]){ __VA_ARGS__ },                                           \
	    sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *), e)

static char *column(struct arena *a, sqlite3_stmt *st, int i)
{
	const char *text = (const char *)sqlite3_column_text(st, i);

	return arena_str(a, text ? text : "");
}

/* All rows of a query with one text argument (NULL: none); columns 0 and 1 to the vecs given. */
static int collect(struct db *db, enum statement q, struct arena *a, const char *arg,
		   struct vec *first, struct vec *second, struct err *e)
{
	sqlite3_stmt *st = NULL;
	bool row = false;
	int r = prepare(db, q, &st, e);

	if (r < 0)
		return r;
	if (arg)
		bind_text(st, 1, arg);
	while ((r = step(db, st, &row, e)) == 0 && row) {
		if (first)
			vec_add(first, column(a, st, 0));
		if (second)
			vec_add(second, column(a, st, 1));
	}
	sqlite3_clear_bindings(st);
	if (r == 0 && (arena_err(a) < 0 || (first && first->err) || (second && second->err)))
		return err_num(e, -ENOMEM, "database %s", db->file);
	return r;
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

static int pragma_wal(struct db *db, struct err *e)
{
	sqlite3_stmt *st = NULL;
	bool row = false, wal = false;
	int r = 0;

	if (sqlite3_prepare_v2(db->sql, "pragma journal_mode = wal", -1, &st, NULL) != SQLITE_OK)
		return db_fail(db, e);
	r = step(db, st, &row, e);
	if (r == 0 && row)
		wal = !strcmp((const char *)sqlite3_column_text(st, 0), "wal");
	sqlite3_finalize(st);
	if (r < 0)
		return r;
	/* No shared memory on this file system: a journal, with every commit on disk. */
	if (sqlite3_exec(db->sql,
			 wal ? "pragma synchronous = normal"
			     : "pragma journal_mode = truncate; pragma synchronous = full",
			 NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(db, e);
	return 0;
}

static int has_schema(struct db *db, bool *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int r;

	if (sqlite3_prepare_v2(db->sql, "select 1 from sqlite_master where name = ?", -1, &st,
			       NULL) != SQLITE_OK)
		return db_fail(db, e);
	bind_text(st, 1, sql_schemas[db->dialect].last);
	r = step(db, st, ret, e);
	sqlite3_finalize(st);
	return r;
}

static int set_up(struct db *db, bool make, struct err *e)
{
	bool made = false;
	int r;

	(void)sqlite3_busy_timeout(db->sql, BUSY_MS);
	(void)sqlite3_db_config(db->sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (sqlite3_exec(db->sql, "pragma foreign_keys = 1; pragma temp_store = memory", NULL, NULL,
			 NULL) != SQLITE_OK)
		return db_fail(db, e);
	r = fd_lock(db->lock_fd, true, true);
	if (r < 0)
		return err_num(e, r, "lock the database %s", db->file);
	r = pragma_wal(db, e);
	if (r == 0)
		r = has_schema(db, &made, e);
	if (r == 0 && !made && !make)
		r = err_set(e, -ERR_NOTFOUND, "the database %s is empty", db->file);
	else if (r == 0 && !made &&
		 sqlite3_exec(db->sql, sql_schemas[db->dialect].sql, NULL, NULL, NULL) != SQLITE_OK)
		r = db_fail(db, e);
	(void)fd_unlock(db->lock_fd);
	return r;
}

int db_open(const char *file, enum dialect dialect, bool make, struct db **ret, struct err *e)
{
	struct db *db = mem_zalloc(sizeof(*db));
	auto_str struct str lock = STR_INIT;
	int r = -ENOMEM;

	str_addf(&lock, "%s.lock", file);
	if (!db)
		return err_num(e, -ENOMEM, "database %s", file);
	db->lock_fd = -1;
	db->dialect = dialect;
	db->file = strdup(file);
	if (!db->file || str_err(&lock) < 0) {
		err_num(e, r, "database %s", file);
		goto fail;
	}
	db->lock_fd = open(lock.buf, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (db->lock_fd < 0) {
		r = err_sys(e, "open %s", lock.buf);
		goto fail;
	}
	r = sqlite3_open_v2(file, &db->sql,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (!db->sql)
		r = err_num(e, -ENOMEM, "database %s", file);
	else
		r = r == SQLITE_OK ? set_up(db, make, e) : db_fail(db, e);
	if (r == 0) {
		*ret = db;
		return 0;
	}
fail:
	db_close(db);
	return r;
}

int db_open_read(const char *file, enum dialect dialect, int wait_ms, struct db **ret,
		 struct err *e)
{
	struct db *db = mem_zalloc(sizeof(*db));
	bool made = false;
	int r;

	if (!db)
		return err_num(e, -ENOMEM, "database %s", file);
	db->lock_fd = -1;
	db->dialect = dialect;
	db->file = strdup(file);
	if (!db->file) {
		db_close(db);
		return err_num(e, -ENOMEM, "database %s", file);
	}
	r = sqlite3_open_v2(file, &db->sql, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
	if (!db->sql) {
		r = err_num(e, -ENOMEM, "database %s", file);
	} else if (r != SQLITE_OK) {
		r = db_fail(db, e);
	} else {
		(void)sqlite3_busy_timeout(db->sql, wait_ms);
		(void)sqlite3_db_config(db->sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		r = has_schema(db, &made, e);
		if (r == 0 && !made)
			r = err_set(e, -ERR_DB, "the database %s is empty", file);
	}
	if (r < 0)
		db_close(db);
	else
		*ret = db;
	return r;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	for (int i = 0; i < Q_MAX; i++)
		sqlite3_finalize(db->st[i]);
	sqlite3_close(db->sql);
	fd_close(&db->lock_fd);
	free(db->file);
	free(db);
}

void db_forget(struct db *db)
{
	if (!db)
		return;
	/* SQLite's objects stay as they are: what they would undo is not ours. */
	fd_close(&db->lock_fd);
	free(db->file);
	free(db);
}

int db_check(struct db *db, struct err *e)
{
	sqlite3_stmt *st = NULL;
	bool row = false;
	int r = 0;

	if (sqlite3_prepare_v2(db->sql, "pragma integrity_check(1)", -1, &st, NULL) != SQLITE_OK)
		return db_fail(db, e);
	r = step(db, st, &row, e);
	const char *text = row ? (const char *)sqlite3_column_text(st, 0) : NULL;
	if (r == 0 && (!text || strcmp(text, "ok") != 0))
		r = err_set(e, -ERR_DB, "the database %s is damaged: %.200s", db->file,
			    text ? text : "no answer");
	sqlite3_finalize(st);
	return r < 0 ? err_hint(e, r, "nothing was changed; a copy of before is needed") : 0;
}

/* ---- Transactions -----------------------------------------------------------------------------
 */

int db_begin(struct db *db, struct err *e)
{
	int r = fd_lock(db->lock_fd, true, true);

	if (r < 0)
		return err_num(e, r, "lock the database %s", db->file);
	r = run(db, Q_BEGIN, NULL, 0, e);
	if (r < 0)
		(void)fd_unlock(db->lock_fd);
	else
		db->writing = true;
	return r;
}

int db_commit(struct db *db, struct err *e)
{
	int r = run(db, Q_COMMIT, NULL, 0, e);

	if (r < 0) {
		db_rollback(db);
		return r;
	}
	db->writing = false;
	(void)fd_unlock(db->lock_fd);
	return 0;
}

void db_rollback(struct db *db)
{
	if (!db->writing)
		return;
	if (!sqlite3_get_autocommit(db->sql))
		(void)run(db, Q_ROLLBACK, NULL, 0, NULL); /* an error leaves nothing to undo */
	db->writing = false;
	(void)fd_unlock(db->lock_fd);
}

int db_begin_read(struct db *db, struct err *e)
{
	return db->writing ? 0 : run(db, Q_BEGIN_READ, NULL, 0, e);
}

void db_end_read(struct db *db)
{
	if (!db->writing && !sqlite3_get_autocommit(db->sql))
		(void)run(db, Q_ROLLBACK, NULL, 0, NULL); /* only read: nothing to undo */
}

int db_sync(struct db *db, struct err *e)
{
	auto_str struct str wal = STR_INIT;
	struct stat st;

	str_addf(&wal, "%s-wal", db->file);
	if (str_err(&wal) < 0)
		return err_num(e, -ENOMEM, "database %s", db->file);
	if (stat(wal.buf, &st) < 0)
		return 0; /* a journal: every commit is on disk */
	return file_sync(AT_FDCWD, wal.buf, e);
}

static uint64_t size_of(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
}

int db_vacuum(struct db *db, uint64_t *ret_before, uint64_t *ret_after, struct err *e)
{
	auto_str struct str wal = STR_INIT;
	uint64_t before;
	int r = fd_lock(db->lock_fd, true, true);

	if (r < 0)
		return err_num(e, r, "lock the database %s", db->file);
	str_addf(&wal, "%s-wal", db->file);
	before = size_of(db->file) + size_of(wal.buf);
	/* The new file is in the log first. Who reads for long may keep it there. */
	if (str_err(&wal) < 0)
		r = err_num(e, -ENOMEM, "database %s", db->file);
	else if (sqlite3_exec(db->sql, "vacuum", NULL, NULL, NULL) != SQLITE_OK ||
		 sqlite3_busy_timeout(db->sql, VACUUM_WAIT_MS) != SQLITE_OK ||
		 sqlite3_exec(db->sql, "pragma wal_checkpoint(truncate)", NULL, NULL, NULL) !=
			 SQLITE_OK)
		r = db_fail(db, e);
	(void)sqlite3_busy_timeout(db->sql, BUSY_MS);
	(void)fd_unlock(db->lock_fd);
	if (r < 0)
		return r;
	*ret_before = before;
	*ret_after = size_of(db->file) + size_of(wal.buf);
	return 0;
}

/* ---- Questions --------------------------------------------------------------------------------
 */

/* Whether the statement has a row for path. */
static int has_row(struct db *db, enum statement q, const char *path, bool *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	bool row = false;
	int r = prepare(db, q, &st, e);

	if (r < 0)
		return r;
	bind_text(st, 1, path);
	r = step(db, st, &row, e);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (r == 0)
		*ret = row;
	return r;
}

int db_is_valid(struct db *db, const char *path, bool *ret, struct err *e)
{
	return has_row(db, Q_IS_VALID, path, ret, e);
}

static int parse_hash(struct db *db, const char *path, struct slice text, struct digest *ret,
		      struct err *e)
{
	struct slice algo;
	enum digest_algo which;

	if (slice_cut(&text, ':', &algo) && text.p && digest_algo_parse(algo, &which) == 0 &&
	    digest_parse(which, text, ret) == 0)
		return 0;
	return err_set(e, -ERR_DB, "database %s: the hash of %s is no hash", db->file, path);
}

static int info_of_row(struct db *db, struct arena *a, const char *path, sqlite3_stmt *st,
		       struct store_info **ret, struct err *e)
{
	struct store_info *info = ARENA_NEW(a, struct store_info);

	if (!info)
		return err_num(e, -ENOMEM, "database %s", db->file);
	info->path = arena_str(a, path);
	info->registered = (uint64_t)sqlite3_column_int64(st, 2);
	info->deriver = column(a, st, 3);
	info->nar_size = (uint64_t)sqlite3_column_int64(st, 4);
	if (db->dialect == DIALECT_NIX) {
		info->ultimate = sqlite3_column_int64(st, 5) != 0;
		info->sigs = column(a, st, 6);
		info->ca = column(a, st, 7);
	}
	*ret = info;
	return parse_hash(db, path, slice_of((const char *)sqlite3_column_text(st, 1)),
			  &info->nar_hash, e);
}

/* Of a row that was found already; sorted. */
static int refs_of_id(struct db *db, struct arena *a, sqlite3_int64 id, struct vec *ret,
		      struct err *e)
{
	sqlite3_stmt *st = NULL;
	bool row = false;
	int r = prepare(db, Q_REFS_OF_ID, &st, e);

	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(st, 1, id);
	while ((r = step(db, st, &row, e)) == 0 && row)
		vec_add(ret, column(a, st, 0));
	vec_sort_str(ret);
	return r == 0 && ret->err ? err_num(e, ret->err, "database %s", db->file) : r;
}

int db_info(struct db *db, struct arena *a, const char *path, bool with_refs,
	    struct store_info **ret, struct err *e)
{
	struct store_info *info = NULL;
	auto_vec struct vec refs = VEC_INIT;
	sqlite3_stmt *st = NULL;
	bool row = false;
	int r = prepare(db, db->dialect == DIALECT_NIX ? Q_INFO_NIX : Q_INFO, &st, e);

	if (r < 0)
		return r;
	bind_text(st, 1, path);
	r = step(db, st, &row, e);
	if (r == 0 && !row)
		r = err_set(e, -ERR_NOTVALID, "path '%s' is not valid", path);
	else if (r == 0)
		r = info_of_row(db, a, path, st, &info, e);
	/* Not reset before: both questions are of one state, and look for changes once. */
	if (r == 0 && with_refs)
		r = refs_of_id(db, a, sqlite3_column_int64(st, 0), &refs, e);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	if (r < 0)
		return r;
	info->nrefs = refs.n;
	info->refs = arena_dup(a, refs.v, refs.n * sizeof(char *));
	if (arena_err(a) < 0)
		return err_num(e, arena_err(a), "database %s", db->file);
	*ret = info;
	return 0;
}

int db_refs(struct db *db, struct arena *a, const char *path, struct vec *ret, struct err *e)
{
	return collect(db, Q_REFS, a, path, ret, NULL, e);
}

int db_referrers(struct db *db, struct arena *a, const char *path, struct vec *ret, struct err *e)
{
	return collect(db, Q_REFERRERS, a, path, ret, NULL, e);
}

int db_derivers(struct db *db, struct arena *a, const char *path, struct vec *ret, struct err *e)
{
	return collect(db, Q_DERIVERS, a, path, ret, NULL, e);
}

int db_drv_outputs(struct db *db, struct arena *a, const char *drv, struct vec *ret_ids,
		   struct vec *ret_paths, struct err *e)
{
	return collect(db, Q_OUTPUTS, a, drv, ret_ids, ret_paths, e);
}

int db_by_prefix(struct db *db, struct arena *a, const char *prefix, const char **ret,
		 struct err *e)
{
	auto_vec struct vec one = VEC_INIT;
	int r = collect(db, Q_BY_PREFIX, a, prefix, &one, NULL, e);

	if (r < 0)
		return r;
	*ret = one.n && !strncmp(one.v[0], prefix, strlen(prefix)) ? one.v[0] : NULL;
	return 0;
}

int db_closure(struct db *db, struct arena *a, const char *path, struct vec *ret, struct err *e)
{
	return collect(db, Q_CLOSURE, a, path, ret, NULL, e);
}

int db_closure_sizes(struct db *db, struct arena *a, const char *path, struct vec *ret,
		     struct err *e)
{
	sqlite3_stmt *st = NULL;
	bool row = false, lost = false;
	int r = prepare(db, Q_CLOSURE_SIZES, &st, e);

	if (r < 0)
		return r;
	bind_text(st, 1, path);
	while ((r = step(db, st, &row, e)) == 0 && row) {
		struct db_item *item = ARENA_NEW(a, struct db_item);

		lost = lost || sqlite3_column_type(st, 0) == SQLITE_NULL;
		if (item)
			*item = (struct db_item){ column(a, st, 0),
						  (uint64_t)sqlite3_column_int64(st, 1) };
		vec_add(ret, item);
	}
	sqlite3_clear_bindings(st);
	if (r == 0 && (arena_err(a) < 0 || ret->err))
		return err_num(e, -ENOMEM, "database %s", db->file);
	if (r == 0 && lost)
		return err_set(e, -ERR_NOTVALID,
			       "the database %s no longer knows something that %s refers to",
			       db->file, path);
	return r;
}

int db_all_valid(struct db *db, struct arena *a, struct vec *ret, struct err *e)
{
	return collect(db, Q_ALL, a, NULL, ret, NULL, e);
}

static const char *text_of(sqlite3_stmt *st, int i)
{
	const char *text = (const char *)sqlite3_column_text(st, i);

	return text ? text : "";
}

int db_each(struct db *db, enum db_table t, db_row_fn *fn, void *arg, struct err *e)
{
	static const enum statement queries[] = { Q_EACH_PATH, Q_EACH_REF, Q_EACH_OUTPUT };
	sqlite3_stmt *st = NULL;
	bool row = false;
	int r = prepare(db, queries[t], &st, e);

	while (r == 0 && (r = step(db, st, &row, e)) == 0 && row) {
		r = fn(arg,
		       &(struct db_row){
			       .id = sqlite3_column_int64(st, 0),
			       .other = sqlite3_column_int64(st, 1),
			       .path = t == DB_REFS ? "" : text_of(st, 2),
			       .deriver = t == DB_PATHS ? text_of(st, 3) : "",
			       .nar_size =
				       t == DB_PATHS ? (uint64_t)sqlite3_column_int64(st, 4) : 0,
		       });
		if (r < 0)
			err_num(e, r, "database %s", db->file);
	}
	sqlite3_reset(st);
	return r;
}

/* ---- Changes ----------------------------------------------------------------------------------
 */

static void hash_text(const struct digest *d, char out[DIGEST_TEXT_MAX + 8])
{
	char hex[DIGEST_TEXT_MAX];

	digest_hex(d, hex);
	snprintf(out, DIGEST_TEXT_MAX + 8, "%s:%s", digest_name(d->algo), hex);
}

int db_insert(struct db *db, const struct store_info *info, struct err *e)
{
	char hash[DIGEST_TEXT_MAX + 8];
	bool nix = db->dialect == DIALECT_NIX, row;
	sqlite3_stmt *st = NULL;
	int r = prepare(db, nix ? Q_INSERT_NIX : Q_INSERT, &st, e);

	if (r < 0)
		return r;
	hash_text(&info->nar_hash, hash);
	bind_text(st, 1, info->path);
	bind_text(st, 2, hash);
	(void)sqlite3_bind_int64(st, 3, (sqlite3_int64)info->registered);
	if (info->deriver && *info->deriver)
		bind_text(st, 4, info->deriver);
	if (info->nar_size)
		(void)sqlite3_bind_int64(st, 5, (sqlite3_int64)info->nar_size);
	if (nix && info->ultimate)
		(void)sqlite3_bind_int64(st, 6, 1);
	if (nix && info->sigs && *info->sigs)
		bind_text(st, 7, info->sigs);
	if (nix && info->ca && *info->ca)
		bind_text(st, 8, info->ca);
	r = step(db, st, &row, e);
	sqlite3_clear_bindings(st);
	return r;
}

int db_set_sigs(struct db *db, const char *path, const char *sigs, struct err *e)
{
	return run_with(db, Q_SIGN, e, sigs, path);
}

int db_update(struct db *db, const struct store_info *info, struct err *e)
{
	char hash[DIGEST_TEXT_MAX + 8];
	sqlite3_stmt *st = NULL;
	bool row;
	int r = prepare(db, Q_UPDATE, &st, e);

	if (r < 0)
		return r;
	hash_text(&info->nar_hash, hash);
	if (info->nar_size)
		(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)info->nar_size);
	bind_text(st, 2, hash);
	bind_text(st, 3, info->path);
	r = step(db, st, &row, e);
	sqlite3_clear_bindings(st);
	return r;
}

int db_add_ref(struct db *db, const char *referrer, const char *reference, struct err *e)
{
	bool valid = false;
	int r = db_is_valid(db, reference, &valid, e);

	if (r == 0 && !valid)
		r = err_set(e, -ERR_NOTVALID, "path '%s' is not valid, but '%s' refers to it",
			    reference, referrer);
	return r < 0 ? r : run_with(db, Q_ADD_REF, e, referrer, reference);
}

int db_add_output(struct db *db, const char *drv, const char *id, const char *path, struct err *e)
{
	return run_with(db, Q_ADD_OUTPUT, e, drv, id, path);
}

int db_delete(struct db *db, const char *path, struct err *e)
{
	struct err inner = ERR_INIT;
	int r = run_with(db, Q_DELETE, &inner, path);

	if (r == -ERR_IN_USE)
		return err_set(e, r, "path '%s' is still in use: others refer to it", path);
	return r < 0 ? err_set(e, r, "%s", inner.msg) : 0;
}

/* ---- Failures --------------------------------------------------------------------------------
 */

int db_fail_add(struct db *db, const char *path, struct err *e)
{
	return run_with(db, Q_FAIL, e, path);
}

int db_fail_has(struct db *db, const char *path, bool *ret, struct err *e)
{
	return has_row(db, Q_HAS_FAILED, path, ret, e);
}

int db_fail_all(struct db *db, struct arena *a, struct vec *ret, struct err *e)
{
	return collect(db, Q_FAILED, a, NULL, ret, NULL, e);
}

int db_fail_forget(struct db *db, const char *path, struct err *e)
{
	return path ? run_with(db, Q_FORGIVE, e, path) : run(db, Q_FORGIVE_ALL, NULL, 0, e);
}

/* ---- A fresh database for an image ------------------------------------------------------------
 */

static int info_cmp(const void *a, const void *b)
{
	return strcmp((*(const struct store_info *const *)a)->path,
		      (*(const struct store_info *const *)b)->path);
}

static int fill(struct db *db, const struct store_info *const *items, size_t n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct store_info info = *items[i];

		info.registered = 1;
		info.deriver = "";
		r = db_insert(db, &info, e);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		for (size_t k = 0; r == 0 && k < items[i]->nrefs; k++)
			r = db_add_ref(db, items[i]->path, items[i]->refs[k], e);
	return r;
}

/* No other process sees the file, so nothing of the usual care is needed, and nothing may depend
 * on time: page size, encoding and the order of all insertions are fixed. */
static int create(struct db *db, const struct store_info *const *items, size_t n, struct err *e)
{
	int r;

	if (sqlite3_exec(db->sql,
			 "pragma page_size = 4096; pragma encoding = 'UTF-8';"
			 "pragma auto_vacuum = none; pragma journal_mode = off;"
			 "pragma synchronous = off; pragma foreign_keys = 1; begin",
			 NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db->sql, sql_schemas[DIALECT_GUIX].sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(db, e);
	r = fill(db, items, n, e);
	if (r == 0 && sqlite3_exec(db->sql, "commit", NULL, NULL, NULL) != SQLITE_OK)
		r = db_fail(db, e);
	return r;
}

int store_db_create(const char *file, const struct store_info *const *items, size_t n,
		    struct err *e)
{
	const struct store_info **sorted = mem_zalloc((n + 1) * sizeof(*sorted));
	auto_fd int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	struct db db = { .file = (char *)(uintptr_t)file, .lock_fd = -1 };
	int r;

	if (fd < 0) {
		r = err_sys(e, "create %s", file);
		goto out;
	}
	if (!sorted) {
		r = err_num(e, -ENOMEM, "database %s", file);
		goto out;
	}
	if (n)
		memcpy(sorted, items, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), info_cmp);
	r = sqlite3_open_v2(file, &db.sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (!db.sql)
		r = err_num(e, -ENOMEM, "database %s", file);
	else
		r = r == SQLITE_OK ? create(&db, sorted, n, e) : db_fail(&db, e);
	for (int i = 0; i < Q_MAX; i++)
		sqlite3_finalize(db.st[i]);
	if (sqlite3_close(db.sql) != SQLITE_OK && r == 0)
		r = err_set(e, -ERR_DB, "database %s: cannot be closed", file);
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, "fsync %s", file);
	if (r < 0)
		(void)unlink(file); /* the first error counts */
out:
	free(sorted);
	return r;
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

static struct slice json_real(struct arena *a, double value)
{
	/* Digits enough for the same number again; JSON has no infinity. */
	return slice_of(isfinite(value) ? arena_fmt(a, "%.17g", value) : "null");
}

static struct json_value *json_value(struct arena *a, sqlite3_stmt *st)
{
	static const char *const types[] = {
		[JSON_NULL] = "null",	    [JSON_TRUE] = "true",     [JSON_FALSE] = "false",
		[JSON_INTEGER] = "integer", [JSON_REAL] = "real",     [JSON_TEXT] = "text",
		[JSON_ARRAY] = "array",	    [JSON_OBJECT] = "object",
	};
	struct json_value *v = ARENA_NEW(a, struct json_value);
	const char *type = (const char *)sqlite3_column_text(st, 1);

	if (!v || !type)
		return NULL;
	while (v->type < JSON_OBJECT && strcmp(type, types[v->type]) != 0)
		v->type++;
	v->key = sqlite3_column_type(st, 0) == SQLITE_TEXT ? column(a, st, 0) : "";
	if (v->type < JSON_INTEGER) {
		v->text = slice_of(types[v->type]);
	} else if (v->type == JSON_REAL) {
		v->text = json_real(a, sqlite3_column_double(st, 2));
	} else {
		const void *text = sqlite3_column_text(st, 2);

		v->text.n = text ? (size_t)sqlite3_column_bytes(st, 2) : 0;
		v->text.p = arena_strn(a, text ? text : "", v->text.n);
	}
	return v->key && v->text.p ? v : NULL;
}

int db_json(struct db *db, struct arena *a, struct slice json, struct vec *ret, struct err *e)
{
	sqlite3_stmt *st = NULL;
	bool row = false;
	int r = prepare(db, Q_JSON, &st, e);

	if (r < 0)
		return r;
	(void)sqlite3_bind_text(st, 1, json.p, (int)MIN_OF(json.n, (size_t)INT_MAX), SQLITE_STATIC);
	while ((r = step(db, st, &row, e)) == 0 && row) {
		struct json_value *v = json_value(a, st);

		if (!v) {
			sqlite3_reset(st);
			r = err_num(e, -ENOMEM, "JSON");
			break;
		}
		vec_add(ret, v);
	}
	/* No table is read: what fails and is not for want of memory is the text. */
	if (r == -ERR_DB)
		r = err_set(e, -ERR_SYNTAX, "malformed JSON");
	sqlite3_clear_bindings(st);
	return r == 0 && ret->err ? err_num(e, -ENOMEM, "JSON") : r;
}
