/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The database of valid paths, schema 7 of Guix or 10 of Nix. A handle belongs to the process that
 * opened it. Every function is a transaction of its own unless db_begin was called; busy waits are
 * inside.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "store/format/dialect.h"
#include "store/store.h"

struct db;

/*
 * Open file (physical), made when missing. Writers, and with them checkpoints, exclude each other
 * by a lock on FILE.lock, on top of SQLite's own: see doc/database.md. With make false nothing is
 * put into a file that is missing or has no tables: -ERR_NOTFOUND.
 */
int db_open(const char *file, enum dialect dialect, bool make, struct db **ret, struct err *e);
/* Open a file that is there for questions alone: nothing is made, locked or changed, but for what
 * SQLite's readers share beside it. Waits for others for so long, not for ever. */
int db_open_read(const char *file, enum dialect dialect, int wait_ms, struct db **ret,
		 struct err *e);
void db_close(struct db *db); /* NULL allowed */
/* The handle came over a fork: free nothing, touch nothing. */
void db_forget(struct db *db);

int db_begin(struct db *db, struct err *e); /* takes the write lock */
int db_commit(struct db *db, struct err *e);
void db_rollback(struct db *db); /* nothing when no transaction is open */
/* Several reads that see one state. */
int db_begin_read(struct db *db, struct err *e);
void db_end_read(struct db *db);
/* Whether what is in the file is as SQLite left it, every row and every index; reads all of it.
 * -ERR_DB: it is damaged. */
int db_check(struct db *db, struct err *e);
/* Write the file anew without what rows that are gone have left in it; needs twice its size for
 * that. Others may read meanwhile, and those who write wait. Sizes in bytes, with the log. */
int db_vacuum(struct db *db, uint64_t *ret_before, uint64_t *ret_after, struct err *e);
/* Wait until everything committed is on disk. */
int db_sync(struct db *db, struct err *e);

int db_is_valid(struct db *db, const char *path, bool *ret, struct err *e);
/* -ERR_NOTVALID. refs filled when with_refs. */
int db_info(struct db *db, struct arena *a, const char *path, bool with_refs,
	    struct store_info **ret, struct err *e);
int db_refs(struct db *db, struct arena *a, const char *path, struct vec *ret, struct err *e);
int db_referrers(struct db *db, struct arena *a, const char *path, struct vec *ret, struct err *e);
int db_derivers(struct db *db, struct arena *a, const char *path, struct vec *ret, struct err *e);
int db_drv_outputs(struct db *db, struct arena *a, const char *drv, struct vec *ret_ids,
		   struct vec *ret_paths, struct err *e);
int db_by_prefix(struct db *db, struct arena *a, const char *prefix, const char **ret,
		 struct err *e); /* NULL when none */
/* path and everything it refers to, directly or not; unsorted. Nothing when path is not valid. */
int db_closure(struct db *db, struct arena *a, const char *path, struct vec *ret, struct err *e);
/* The same with sizes: struct db_item in a. -ERR_NOTVALID: one of them has no row any more (and
 * path is NULL in ret, which holds all others). */
struct db_item {
	const char *path;
	uint64_t nar_size; /* 0: not known */
};
int db_closure_sizes(struct db *db, struct arena *a, const char *path, struct vec *ret,
		     struct err *e);
int db_all_valid(struct db *db, struct arena *a, struct vec *ret, struct err *e);

/* A whole table, ordered by the first id; what a table does not have is 0 or "". fn returns 0 or a
 * negative code, which ends it; texts are borrowed for the call. */
enum db_table {
	DB_PATHS,   /* id, path, deriver, nar_size */
	DB_REFS,    /* id refers to other */
	DB_OUTPUTS, /* id, of a .drv, has the output path, valid or not */
};
struct db_row {
	int64_t id, other;
	const char *path, *deriver;
	uint64_t nar_size;
};
typedef int db_row_fn(void *arg, const struct db_row *row);
int db_each(struct db *db, enum db_table t, db_row_fn *fn, void *arg, struct err *e);

/* Inside db_begin … db_commit. */
int db_insert(struct db *db, const struct store_info *info, struct err *e); /* without refs */
int db_update(struct db *db, const struct store_info *info, struct err *e); /* hash, size */
/* Nix's schema alone: the signatures, separated by blanks. */
int db_set_sigs(struct db *db, const char *path, const char *sigs, struct err *e);
int db_add_ref(struct db *db, const char *referrer, const char *reference, struct err *e);
int db_add_output(struct db *db, const char *drv, const char *id, const char *path, struct err *e);
int db_delete(struct db *db, const char *path, struct err *e); /* referrers: -ERR_IN_USE */

/*
 * SQLite is our reader of JSON, too. A member of an object, or an element of an array; all in the
 * arena of the call.
 */
struct json_value {
	const char *key; /* "" of an element */
	enum json_type {
		JSON_NULL,
		JSON_TRUE,
		JSON_FALSE,
		JSON_INTEGER,
		JSON_REAL,
		JSON_TEXT,
		JSON_ARRAY,
		JSON_OBJECT,
	} type;
	struct slice text; /* of JSON_TEXT what it says, of all others JSON */
};
/* struct json_value * of an object, by key, or of an array, in order. -ERR_SYNTAX: it is no JSON.
 */
int db_json(struct db *db, struct arena *a, struct slice json, struct vec *ret, struct err *e);

/* Guix's schema alone: paths whose build has failed. Those that change it inside db_begin. */
int db_fail_add(struct db *db, const char *path, struct err *e);
int db_fail_has(struct db *db, const char *path, bool *ret, struct err *e);
int db_fail_all(struct db *db, struct arena *a, struct vec *ret, struct err *e);
int db_fail_forget(struct db *db, const char *path, struct err *e); /* NULL: all */
