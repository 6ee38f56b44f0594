/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations that Nix's dialect alone has, or has in another form. */
#include <errno.h>

#include "lib/size.h"
#include "lib/wire.h"
#include "store/build/asked.h"
#include "store/format/ca.h"
#include "store/build/goal.h"
#include "store/limits.h"
#include "store/daemon/request.h"
#include "store/subst/subst.h"

/* ---- Archives -------------------------------------------------------------------------------- */

static int op_nar_from_path(struct req *q)
{
	char *path = request_path(q);
	int r = request_check_path(q, path);
	if (!r)
		r = request_need_valid(q, path);
	if (!r)
		q->nar = path;
	return r;
}

static void read_info(struct req *q, struct store_info *info, struct vec *refs, struct vec *sigs,
		      char **ret_hash)
{
	struct stream *in = q->in;
	info->path = request_path(q);
	info->deriver = request_path(q);
	*ret_hash = request_text(q, DIGEST_TEXT_MAX);
	stream_list(in, &q->a, refs);
	info->registered = stream_u64(in);
	info->nar_size = stream_u64(in);
	info->ultimate = stream_u64(in) != 0;
	stream_list(in, &q->a, sigs);
	info->ca = request_text(q, PROTO_LIMIT_PATH);
	vec_sort_str(refs);
	vec_uniq_str(refs);
	info->refs = (const char **)refs->v;
	info->nrefs = refs->n;
}

#define BASE64_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

/* NAME:BASE64 each. They are kept as words, and published in lines. */
static int check_sigs(struct req *q, const struct vec *sigs)
{
	size_t total = 0;
	for (size_t i = 0; i < sigs->n; i++) {
		const char *sig = sigs->v[i];
		size_t n = strcspn(sig, ":");
		total += strlen(sig) + 1;
		if (!n || !sig[n] || strspn(sig + n + 1, BASE64_CHARS) != strlen(sig + n + 1) ||
		    strcspn(sig, " \t\r\n") < n)
			return err_set(&q->e, -ERR_INVALID, "`%.200s' is no signature", sig);
	}
	return total > LIMIT_NARINFO_SIGS ? err_set(&q->e, -ERR_LIMIT, "too many signatures") : 0;
}

static char *join_words(struct arena *a, const struct vec *v)
{
	auto_str struct str s = STR_INIT;
	for (size_t i = 0; i < v->n; i++)
		str_addf(&s, "%s%s", s.len ? " " : "", (const char *)v->v[i]);
	return str_err(&s) ? NULL : arena_strn(a, s.len ? s.buf : "", s.len);
}

/* Whom to believe that these contents belong at this path: the administrator, a key he trusts, or
 * the path itself.
 */
static int check_origin(struct req *q, struct store_info *info, bool unchecked)
{
	if (unchecked && q->s->trusted)
		return 0;
	const struct narinfo n = { .info = *info };
	struct trust trust = TRUST_INIT;
	info->ultimate = false;
	int r = subst_load_trust(q->s, &trust, &q->e);
	if (!r && narinfo_check(&n, DIALECT_NIX, q->s->l->store_dir, &trust, NULL))
		r = err_set(&q->e, -ERR_INVALID,
			    "cannot add path `%s' because it lacks a valid signature", info->path);
	trust_done(&trust);
	return r;
}

static int check_info(struct req *q, struct store_info *info, const struct vec *refs,
		      const char *hash)
{
	struct local *l = q->s->l;
	int r = request_check_path(q, info->path);
	for (size_t i = 0; !r && i < refs->n; i++)
		r = local_check_path(l, refs->v[i], &q->e);
	if (!r && digest_parse(DIGEST_SHA256, slice_of(hash), &info->nar_hash))
		r = err_set(&q->e, -ERR_INVALID, "bad hash `%s' of path `%s'", hash, info->path);
	if (!r && *info->deriver && local_check_path(l, info->deriver, NULL))
		info->deriver = "";
	return r;
}

/* Give a tree that was checked its name, unless somebody else made the same meanwhile. */
static int place_known(struct req *q, const struct store_info *info, struct local_tree *tree)
{
	struct local *l = q->s->l;
	struct local_locks locks = LOCAL_LOCKS_INIT;
	bool valid = false;
	int r = local_lock_paths(l, &info->path, 1, true, &locks, &q->e);
	if (!r)
		r = local_is_valid(l, info->path, &valid, &q->e);
	if (!r && !valid)
		r = local_place_known(l, info, tree, &q->e);
	else
		local_tree_drop(tree);
	local_unlock(l, &locks, true);
	return r;
}

/* No lock is held while the client is waited for: it may take its time. */
static int add_known(struct req *q, struct store_info *info)
{
	struct local *l = q->s->l;
	struct local_tree tree;
	struct asked from;
	asked_init(&from, q->in);
	bool valid = false;
	int r = local_temp_root(l, info->path, &q->e);
	if (!r)
		r = local_await_valid(l, info->path, &valid, &q->e);
	for (size_t i = 0; !r && !valid && i < info->nrefs; i++)
		if (strcmp(info->refs[i], info->path) != 0)
			r = request_need_valid(q, info->refs[i]);
	if (r || valid)
		return r;
	r = local_unpack_known(l, info, &from.source, &tree, &q->e);
	asked_finish(&from);
	return r ? r : place_known(q, info, &tree);
}

static int op_add_to_store_nar(struct req *q)
{
	struct store_info info = { .path = NULL };
	auto_vec struct vec refs = VEC_INIT, sigs = VEC_INIT;
	char *hash;
	read_info(q, &info, &refs, &sigs, &hash);
	bool repair = stream_u64(q->in) != 0;
	bool unchecked = stream_u64(q->in) != 0;
	int r = request_ready(q);
	if (!r && repair)
		r = err_set(&q->e, -ERR_UNSUPPORTED, "repairing a path is not supported");
	if (!r)
		r = check_info(q, &info, &refs, hash);
	if (!r)
		r = check_sigs(q, &sigs);
	if (!r) {
		info.sigs = join_words(&q->a, &sigs);
		r = info.sigs ? 0 : err_set(&q->e, -ENOMEM, "out of memory");
	}
	if (!r)
		r = check_origin(q, &info, unchecked);
	return r ? r : add_known(q, &info);
}

static int op_add_signatures(struct req *q)
{
	char *path = request_path(q);
	auto_vec struct vec sigs = VEC_INIT;
	stream_list(q->in, &q->a, &sigs);
	int r = request_check_path(q, path);
	if (!r && !q->s->trusted)
		r = err_set(&q->e, -EPERM, "you are not privileged to add signatures");
	if (!r)
		r = check_sigs(q, &sigs);
	if (!r)
		r = local_add_sigs(q->s->l, path, &sigs, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

/* ---- Plans ----------------------------------------------------------------------------------- */

static int op_query_missing(struct req *q)
{
	auto_vec struct vec things = VEC_INIT, build = VEC_INIT, unknown = VEC_INIT;
	auto_vec struct vec fetch = VEC_INIT;
	auto_tab struct tab assumed = TAB_INIT;
	struct subst_plan plan;
	uint64_t download, unpacked;
	stream_list(q->in, &q->a, &things);
	int r = request_ready(q);
	if (r)
		return r;
	r = subst_plan(&plan, q->s, &things, NULL, &q->e);
	for (size_t i = 0; !r && i < plan.order.n; i++) {
		const struct subst_item *item = plan.order.v[i];
		vec_add(&fetch, (char *)(uintptr_t)item->info.path);
		(void)tab_put(&assumed, slice_of(item->info.path), NULL);
	}
	if (!r)
		r = goal_missing(q->s, &q->a, &things, &assumed, &build, &unknown, &q->e);
	subst_plan_sizes(&plan, &download, &unpacked);
	reply_sorted(q, &build);
	reply_sorted(q, &fetch);
	reply_sorted(q, &unknown);
	wr_u64(&q->reply, download);
	wr_u64(&q->reply, unpacked);
	subst_plan_done(&plan);
	return r;
}

const struct op ops_nix[] = {
	{ OP_ADD_SIGNATURES, OP_NIX, op_add_signatures },
	{ OP_NAR_FROM_PATH, OP_NIX, op_nar_from_path },
	{ OP_ADD_TO_STORE_NAR, OP_NIX, op_add_to_store_nar },
	{ OP_QUERY_MISSING, OP_NIX, op_query_missing },
	{ 0, 0, NULL },
};
