/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Operations that add, build, collect and check. */
#include <errno.h>

#include "lib/text.h"
#include "lib/wire.h"
#include "store/local/gc.h"
#include "store/build/goal.h"
#include "store/local/repair.h"
#include "store/daemon/request.h"
#include "store/local/roots.h"
#include "store/subst/subst.h"

/* ---- Adding ---------------------------------------------------------------------------------- */

static int add_text(struct req *q, const char *name, struct slice contents, const struct vec *refs,
		    char **ret)
{
	return local_add_text(q->s->l, &q->a, name, contents, (const char *const *)refs->v, refs->n,
			      ret, &q->e);
}

static int op_add_text(struct req *q)
{
	char *name = request_text(q, PROTO_LIMIT_PATH);
	struct slice contents = stream_str(q->in, &q->a, PROTO_LIMIT_TEXT);
	auto_vec struct vec refs = VEC_INIT;
	stream_list(q->in, &q->a, &refs);
	int r = request_check_paths(q, &refs);
	char *path = NULL;
	if (!r)
		r = add_text(q, name, contents, &refs, &path);
	if (r == -ERR_NOTVALID && request_await(q, &refs))
		r = add_text(q, name, contents, &refs, &path);
	if (!r)
		wr_cstr(&q->reply, path);
	return r;
}

/* The NAR follows the arguments at once; an error inside it leaves the stream out of step. */
static int op_add_to_store(struct req *q)
{
	char *name = request_text(q, PROTO_LIMIT_PATH);
	bool fixed = stream_bool(q->in);
	bool recursive = stream_bool(q->in);
	char *algo_name = request_text(q, PROTO_LIMIT_PATH);
	int r = request_ready(q);
	enum digest_algo algo = DIGEST_SHA256;
	if (!r && !fixed)
		recursive = true;
	else if (!r && digest_algo_parse(slice_of(algo_name), &algo))
		r = err_set(&q->e, -ERR_INVALID, "unknown hash algorithm `%s'", algo_name);
	if (!r)
		r = store_name_check(slice_of(name), &q->e);
	if (r) {
		q->in->err = q->in->err ? q->in->err : -ERR_PROTO; /* the NAR is not read */
		return r;
	}
	struct nar_source *src = stream_source(q->in, &q->a);
	char *path = NULL;
	if (!src)
		r = err_set(&q->e, -ENOMEM, "out of memory");
	else
		r = local_add_nar(q->s->l, &q->a, name, recursive, algo, src, &path, &q->e);
	if (r)
		q->in->err = q->in->err ? q->in->err : -ERR_PROTO;
	else
		wr_cstr(&q->reply, path);
	return r;
}

static int op_add_temp_root(struct req *q)
{
	char *path = request_path(q);
	int r = request_check_path(q, path);
	if (!r)
		r = local_temp_root(q->s->l, path, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

static int op_add_indirect_root(struct req *q)
{
	char *path = request_path(q);
	int r = request_ready(q);
	if (!r && path[0] != '/')
		r = err_set(&q->e, -ERR_INVALID, "the root `%s' is not an absolute path", path);
	if (!r)
		r = roots_add_indirect(q->s->l, path, q->s->client_uid, q->s->client_gid, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

static bool is_item(void *arg, struct slice path)
{
	auto_str struct str text = STR_INIT;
	struct local *l = arg;
	bool valid = false;
	str_adds(&text, path);
	return !str_err(&text) && local_is_valid(l, text.buf, &valid, NULL) == 0 && valid;
}

/* Whose processes use what is not everybody's to know. */
static int find_busy(struct req *q, struct vec *ret)
{
	if (!q->s->trusted)
		return err_set(&q->e, -EPERM,
			       "you are not privileged to see what processes of others use");
	return roots_runtime(q->s->l, &q->a, is_item, q->s->l, ret, &q->e);
}

static int op_find_roots(struct req *q)
{
	auto_vec struct vec v = VEC_INIT;
	int r = request_ready(q);
	if (!r)
		r = q->s->busy ? find_busy(q, &v) : roots_find(q->s->l, false, &q->a, &v, &q->e);
	wr_u64(&q->reply, v.n);
	for (size_t i = 0; i < v.n; i++) {
		const struct root *root = v.v[i];
		wr_cstr(&q->reply, root->link);
		wr_cstr(&q->reply, root->target);
	}
	return r;
}

/* ---- Building -------------------------------------------------------------------------------- */

/* It replaces what others use. */
static int may_repair(struct req *q)
{
	return q->s->trusted ? 0 : err_set(&q->e, -EPERM, "you are not allowed to repair paths");
}

static int op_build_paths(struct req *q)
{
	auto_vec struct vec things = VEC_INIT;
	stream_list(q->in, &q->a, &things);
	uint64_t mode = stream_max(q->in, PROTO_BUILD_CHECK);
	int r = request_ready(q);
	if (!r && mode == PROTO_BUILD_REPAIR)
		r = may_repair(q);
	if (!r && mode == PROTO_BUILD_REPAIR)
		r = repair_build(q->s, &things, &q->status, &q->e);
	else if (!r)
		r = goal_build(q->s, &things, (enum proto_mode)mode, &q->status, &q->e);
	if (!r)
		r = local_settle_own(q->s->l, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

static int op_clear_failed(struct req *q)
{
	auto_vec struct vec paths = VEC_INIT;
	stream_list(q->in, &q->a, &paths);
	int r = request_ready(q);
	if (!r)
		r = local_failed_forget(q->s->l, &paths, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

static int op_ensure_path(struct req *q)
{
	char *path = request_path(q);
	bool valid = false;
	int r = request_check_path(q, path);
	if (!r)
		r = local_await_valid(q->s->l, path, &valid, &q->e);
	if (!r && !valid) {
		auto_vec struct vec things = VEC_INIT;
		vec_add(&things, path);
		r = things.err ? err_set(&q->e, -ENOMEM, "out of memory")
			       : subst_before_build(q->s, &things, &q->e);
		if (!r)
			r = local_is_valid(q->s->l, path, &valid, &q->e);
	}
	if (!r && !valid)
		r = err_set(&q->e, -ERR_NOTVALID, "path `%s' does not exist and cannot be created",
			    path);
	if (!r)
		r = local_settle_own(q->s->l, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

/* ---- Upkeep ---------------------------------------------------------------------------------- */

static void say_line(void *arg, const char *text)
{
	session_say(arg, "%s", text);
}

static bool client_left(void *arg)
{
	return session_client_left(arg);
}

static int op_collect_garbage(struct req *q)
{
	struct stream *in = q->in;
	uint64_t action = stream_max(in, STORE_GC_DELETE_THESE);
	auto_vec struct vec paths = VEC_INIT, out = VEC_INIT;
	stream_list(in, &q->a, &paths);
	bool ignore = stream_u64(in) != 0;
	uint64_t max_freed = stream_u64(in);
	for (int i = 0; i < 3; i++)
		(void)stream_u64(in); /* unused since long ago */
	int r = request_check_paths(q, &paths);
	if (!r && q->s->client_uid == (uid_t)-1)
		r = err_set(&q->e, -EPERM, "garbage is not collected for clients over TCP");
	if (!r && ignore)
		r = err_set(&q->e, -ERR_UNSUPPORTED,
			    "you are not allowed to ignore liveness in garbage collections");
	struct gc_request g = { .action = (enum store_gc)action,
				.paths = (const char *const *)paths.v,
				.npaths = paths.n,
				.max_freed = max_freed,
				.keep_outputs = q->s->policy.keep_outputs,
				.drop_derivations = q->s->policy.drop_derivations,
				.progress = say_line,
				.stop = client_left,
				.arg = q->s };
	uint64_t bytes = 0;
	if (!r)
		r = gc_run(q->s->l, &q->a, &g, &out, &bytes, &q->e);
	reply_list(q, &out);
	wr_u64(&q->reply, bytes);
	wr_u64(&q->reply, 0);
	return r;
}

static int op_verify(struct req *q)
{
	bool contents = stream_u64(q->in) != 0;
	bool repair = stream_u64(q->in) != 0;
	auto_vec struct vec bad = VEC_INIT;
	int r = request_ready(q);
	uint64_t errors = 0, left = 0;
	struct local_verify v = { .contents = contents,
				  .report = say_line,
				  .stop = client_left,
				  .arg = q->s,
				  .a = &q->a,
				  .bad = &bad };
	if (!r && repair)
		r = may_repair(q);
	if (!r)
		r = local_verify(q->s->l, &v, &errors, &q->e);
	if (!r && repair && bad.n) {
		r = repair_all(q->s, &bad, &left, &q->e);
		errors = errors - bad.n + left;
	}
	wr_u64(&q->reply, errors);
	return r;
}

static int op_optimise(struct req *q)
{
	auto_vec struct vec v = VEC_INIT;
	char size[16];
	int r = request_ready(q);
	if (!r)
		r = local_all_valid(q->s->l, &q->a, &v, &q->e);
	uint64_t saved = 0, one = 0;
	for (size_t i = 0; !r && i < v.n && !session_client_left(q->s); i++) {
		r = local_optimise(q->s->l, v.v[i], &one, &q->e);
		saved += r ? 0 : one;
	}
	text_human(saved, size);
	if (!r)
		session_say(q->s, "%s freed by links between equal files", size);
	wr_u64(&q->reply, 1);
	return r;
}

const struct op ops_change[] = {
	{ OP_ADD_TO_STORE, OP_BOTH, op_add_to_store },
	{ OP_ADD_TEXT, OP_BOTH, op_add_text },
	{ OP_BUILD_PATHS, OP_BOTH, op_build_paths },
	{ OP_CLEAR_FAILED, OP_GUIX, op_clear_failed },
	{ OP_ENSURE_PATH, OP_BOTH, op_ensure_path },
	{ OP_ADD_TEMP_ROOT, OP_BOTH, op_add_temp_root },
	{ OP_ADD_INDIRECT_ROOT, OP_BOTH, op_add_indirect_root },
	{ OP_FIND_ROOTS, OP_BOTH, op_find_roots },
	{ OP_COLLECT_GARBAGE, OP_BOTH, op_collect_garbage },
	{ OP_OPTIMISE, OP_BOTH, op_optimise },
	{ OP_VERIFY, OP_BOTH, op_verify },
	{ 0, 0, NULL },
};
