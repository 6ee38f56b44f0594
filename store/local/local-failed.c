/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Paths whose build has failed. */
#include <errno.h>

#include "store/local/db.h"
#include "store/local/local-state.h"

static bool remembers(const struct local *l)
{
	return l->dialect == DIALECT_GUIX;
}

/* Start changing; the flush before is that of additions which wait. */
static int begin(struct local *l, struct db **ret, struct err *e)
{
	int r = local_begin(l, ret, e);
	return r ? r : db_begin(*ret, e);
}

static int end(struct db *db, int r, struct err *e)
{
	if (!r)
		return db_commit(db, e);
	db_rollback(db);
	return r;
}

int local_failed_add(struct local *l, const struct drv *d, struct err *e)
{
	struct db *db;
	int r = remembers(l) ? begin(l, &db, e) : 0;
	if (r || !remembers(l))
		return r;
	for (size_t i = 0; !r && i < d->noutputs; i++)
		r = db_fail_add(db, d->outputs[i].path, e);
	return end(db, r, e);
}

int local_failed_any(struct local *l, const struct drv *d, bool *ret, struct err *e)
{
	struct db *db;
	*ret = false;
	int r = remembers(l) ? local_db(l, &db, e) : 0;
	if (!remembers(l))
		return 0;
	for (size_t i = 0; !r && !*ret && i < d->noutputs; i++)
		r = db_fail_has(db, d->outputs[i].path, ret, e);
	return r;
}

int local_failed_all(struct local *l, struct arena *a, struct vec *ret, struct err *e)
{
	struct db *db;
	int r = local_db(l, &db, e);
	return r || !remembers(l) ? r : db_fail_all(db, a, ret, e);
}

static int forget_one(struct local *l, struct db *db, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec outs = VEC_INIT;
	if (strcmp(path, "*") == 0)
		return db_fail_forget(db, NULL, e);
	int r = local_check_path(l, path, e);
	if (!r)
		r = db_fail_forget(db, path, e);
	if (!r && slice_ends(slice_of(path), ".drv"))
		r = db_drv_outputs(db, &a, path, NULL, &outs, e);
	for (size_t i = 0; !r && i < outs.n; i++)
		r = db_fail_forget(db, outs.v[i], e);
	return r;
}

int local_failed_forget(struct local *l, const struct vec *paths, struct err *e)
{
	struct db *db;
	int r = remembers(l) ? begin(l, &db, e) : 0;
	if (r || !remembers(l))
		return r;
	for (size_t i = 0; !r && i < paths->n; i++)
		r = forget_one(l, db, paths->v[i], e);
	return end(db, r, e);
}
