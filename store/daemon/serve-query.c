/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations that only ask. */
#include <errno.h>

#include "lib/fd.h"
#include "lib/wire.h"
#include "store/daemon/request.h"
#include "store/local/roots.h"
#include "store/subst/subst.h"

static int op_is_valid(struct req *q)
{
	char *path = request_path(q);
	int r = request_ready(q);
	if (r)
		return r;
	bool valid = false;
	r = local_check_path(q->s->l, path, &q->e);
	if (!r)
		r = local_await_valid(q->s->l, path, &valid, &q->e);
	wr_u64(&q->reply, valid);
	return r;
}

static int get_info(struct req *q, struct store_info **ret)
{
	char *path = request_path(q);
	int r = request_check_path(q, path);
	if (!r)
		r = local_info(q->s->l, &q->a, path, ret, &q->e);
	if (r != -ERR_NOTVALID)
		return r;
	bool valid = false;
	r = local_await_valid(q->s->l, path, &valid, &q->e);
	return r ? r : local_info(q->s->l, &q->a, path, ret, &q->e);
}

static int op_path_hash(struct req *q)
{
	struct store_info *info;
	int r = get_info(q, &info);
	if (r)
		return r;
	char hex[DIGEST_TEXT_MAX];
	digest_hex(&info->nar_hash, hex);
	wr_cstr(&q->reply, hex);
	return 0;
}

static void out_refs(struct req *q, const struct store_info *info)
{
	wr_u64(&q->reply, info->nrefs);
	for (size_t i = 0; i < info->nrefs; i++)
		wr_cstr(&q->reply, info->refs[i]);
}

static int op_references(struct req *q)
{
	struct store_info *info;
	int r = get_info(q, &info);
	if (!r)
		out_refs(q, info);
	return r;
}

static int op_deriver(struct req *q)
{
	struct store_info *info;
	int r = get_info(q, &info);
	if (!r)
		wr_cstr(&q->reply, info->deriver ? info->deriver : "");
	return r;
}

static void reply_info(struct req *q, const struct store_info *info)
{
	char hex[DIGEST_TEXT_MAX];
	digest_hex(&info->nar_hash, hex);
	wr_cstr(&q->reply, info->deriver ? info->deriver : "");
	wr_cstr(&q->reply, hex);
	out_refs(q, info);
	wr_u64(&q->reply, info->registered);
	wr_u64(&q->reply, info->nar_size);
}

static int op_path_info(struct req *q)
{
	struct store_info *info;
	int r = get_info(q, &info);
	if (!r)
		reply_info(q, info);
	return r;
}

/* Nix's clients ask for paths that may not be valid. */
static int op_path_info_nix(struct req *q)
{
	struct store_info *info;
	int r = get_info(q, &info);
	wr_u64(&q->reply, r == 0);
	if (r)
		return r == -ERR_NOTVALID ? 0 : r;
	reply_info(q, info);
	wr_u64(&q->reply, info->ultimate);
	reply_words(q, info->sigs);
	wr_cstr(&q->reply, info->ca ? info->ca : "");
	return 0;
}

typedef int query_fn(struct local *l, struct arena *a, const char *path, struct vec *ret,
		     struct err *e);

static int list_query(struct req *q, query_fn *fn)
{
	char *path = request_path(q);
	int r = request_check_path(q, path);
	if (r)
		return r;
	auto_vec struct vec v = VEC_INIT;
	r = fn(q->s->l, &q->a, path, &v, &q->e);
	reply_sorted(q, &v);
	return r;
}

static int op_referrers(struct req *q)
{
	return list_query(q, local_referrers);
}

static int op_valid_derivers(struct req *q)
{
	return list_query(q, local_derivers);
}

static int drv_query(struct req *q, bool names)
{
	char *path = request_path(q);
	int r = request_check_path(q, path);
	if (!r)
		r = request_need_valid(q, path);
	if (r)
		return r;
	auto_vec struct vec v = VEC_INIT;
	r = local_drv_outputs(q->s->l, &q->a, path, names ? &v : NULL, names ? NULL : &v, &q->e);
	reply_sorted(q, &v);
	return r;
}

static int op_drv_outputs(struct req *q)
{
	return drv_query(q, false);
}

static int op_drv_output_names(struct req *q)
{
	return drv_query(q, true);
}

static int op_all_valid(struct req *q)
{
	auto_vec struct vec v = VEC_INIT;
	int r = local_all_valid(q->s->l, &q->a, &v, &q->e);
	reply_sorted(q, &v);
	return r;
}

static int op_failed_paths(struct req *q)
{
	auto_vec struct vec v = VEC_INIT;
	int r = request_ready(q);
	if (!r)
		r = local_failed_all(q->s->l, &q->a, &v, &q->e);
	reply_sorted(q, &v);
	return r;
}

static int op_from_hash_part(struct req *q)
{
	char *part = request_text(q, PROTO_LIMIT_PATH);
	int r = request_ready(q);
	if (r)
		return r;
	if (strlen(part) != STORE_HASH_CHARS)
		return err_set(&q->e, -ERR_INVALID, "invalid hash part");
	const char *path = NULL;
	r = local_by_hash_part(q->s->l, &q->a, slice_of(part), &path, &q->e);
	wr_cstr(&q->reply, path ? path : "");
	return r;
}

static int op_valid_paths(struct req *q)
{
	auto_vec struct vec v = VEC_INIT, found = VEC_INIT;
	stream_list(q->in, &q->a, &v);
	int r = request_check_paths(q, &v);
	if (!r)
		r = local_valid_subset(q->s->l, &q->a, (const char *const *)v.v, v.n, &found,
				       &q->e);
	reply_sorted(q, &found);
	return r;
}

/* A client asks this before it makes a root: then what it has is not lost, either. */
static int op_sync_with_gc(struct req *q)
{
	int fd = -1;
	int r = request_ready(q);
	if (!r)
		r = local_settle(q->s->l, &q->e);
	if (!r)
		r = local_gc_lock(q->s->l, false, true, &fd, &q->e);
	fd_close(&fd);
	wr_u64(&q->reply, 1);
	return r;
}

/* ---- Substitutes ----------------------------------------------------------------------------- */

/* What caches offer of paths. */
static int look_up(struct req *q, const struct vec *paths, struct tab *ret)
{
	int r = request_check_paths(q, paths);
	return r ? r : subst_lookup(q->s, &q->a, paths, ret, &q->e);
}

static void put_subst_info(struct req *q, const struct subst_item *item)
{
	wr_cstr(&q->reply, item->info.deriver);
	out_refs(q, &item->info);
	wr_u64(&q->reply, item->download);
	wr_u64(&q->reply, item->info.nar_size);
}

static int subst_one(struct req *q, bool with_info)
{
	auto_vec struct vec v = VEC_INIT;
	auto_tab struct tab found = TAB_INIT;
	char *path = request_path(q);
	vec_add(&v, path);
	int r = look_up(q, &v, &found);
	if (r)
		return r;
	const struct subst_item *item = tab_find(&found, slice_of(path));
	wr_u64(&q->reply, item != NULL);
	if (item && with_info)
		put_subst_info(q, item);
	return 0;
}

static int op_has_substitutes(struct req *q)
{
	return subst_one(q, false);
}

static int op_subst_info(struct req *q)
{
	return subst_one(q, true);
}

static int subst_many(struct req *q, bool with_info)
{
	auto_vec struct vec v = VEC_INIT;
	auto_tab struct tab found = TAB_INIT;
	stream_list(q->in, &q->a, &v);
	int r = look_up(q, &v, &found);
	vec_sort_str(&v);
	vec_uniq_str(&v);
	wr_u64(&q->reply, found.count);
	for (size_t i = 0; !r && i < v.n; i++) {
		const struct subst_item *item = tab_find(&found, slice_of(v.v[i]));
		if (!item)
			continue;
		wr_cstr(&q->reply, item->info.path);
		if (with_info)
			put_subst_info(q, item);
	}
	return r;
}

static int op_subst_infos(struct req *q)
{
	return subst_many(q, true);
}

static int op_subst_paths(struct req *q)
{
	return subst_many(q, false);
}

static int op_subst_urls(struct req *q)
{
	auto_vec struct vec v = VEC_INIT;
	int r = request_ready(q);
	if (!r)
		r = subst_urls(q->s, &q->a, &v, &q->e);
	reply_list(q, &v);
	return r;
}

static int op_builtins(struct req *q)
{
	wr_u64(&q->reply, 2);
	wr_cstr(&q->reply, "download");
	wr_cstr(&q->reply, "git-download");
	return request_ready(q);
}

const struct op ops_query[] = {
	{ OP_IS_VALID, OP_BOTH, op_is_valid },
	{ OP_PATH_HASH, OP_BOTH, op_path_hash },
	{ OP_REFERENCES, OP_BOTH, op_references },
	{ OP_REFERRERS, OP_BOTH, op_referrers },
	{ OP_DERIVER, OP_BOTH, op_deriver },
	{ OP_DRV_OUTPUTS, OP_BOTH, op_drv_outputs },
	{ OP_ALL_VALID, OP_BOTH, op_all_valid },
	{ OP_FAILED_PATHS, OP_GUIX, op_failed_paths },
	{ OP_PATH_INFO, OP_GUIX, op_path_info },
	{ OP_PATH_INFO, OP_NIX, op_path_info_nix },
	{ OP_DRV_OUTPUT_NAMES, OP_BOTH, op_drv_output_names },
	{ OP_FROM_HASH_PART, OP_BOTH, op_from_hash_part },
	{ OP_HAS_SUBSTITUTES, OP_BOTH, op_has_substitutes },
	{ OP_SUBST_INFO, OP_BOTH, op_subst_info },
	{ OP_SYNC_WITH_GC, OP_BOTH, op_sync_with_gc },
	{ OP_SUBST_INFOS, OP_BOTH, op_subst_infos },
	{ OP_VALID_PATHS, OP_BOTH, op_valid_paths },
	{ OP_SUBST_PATHS, OP_BOTH, op_subst_paths },
	{ OP_VALID_DERIVERS, OP_BOTH, op_valid_derivers },
	{ OP_BUILTINS, OP_GUIX, op_builtins },
	{ OP_SUBST_URLS, OP_GUIX, op_subst_urls },
	{ 0, 0, NULL },
};
