/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/serve.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "lib/text.h"
#include "lib/wire.h"
#include "store/gc.h"
#include "store/goal.h"
#include "store/protocol.h"
#include "store/roots.h"
#include "store/session.h"

#define MAX_SILENT_DEFAULT 3600
#define TIMEOUT_DEFAULT	   86400
#define DESCRIPTORS	   4096

/* One request while it is answered. */
struct req {
	struct session *s;
	struct stream *in; /* = &s->stream */
	struct arena a;
	struct str reply; /* sent after LAST */
	struct err e;
	int status; /* of the error message */
};

/* Arguments first: an operation reads them all, then req_ready() says whether they were whole. Only
 * from there on may errors leave the connection open. */
static int req_ready(struct req *q)
{
	struct stream *in = q->in;
	if (!in->err && !arena_err(&q->a))
		return 0;
	if (!in->err)
		return err_set(&q->e, arena_err(&q->a), "out of memory");
	if (in->err == -ERR_LIMIT)
		return err_set(&q->e, -ERR_LIMIT, "a value in the request is too large");
	if (in->err == -ERR_PROTO)
		return err_set(&q->e, -ERR_PROTO, "malformed request");
	if (in->err == -ENODATA)
		return err_set(&q->e, -ERR_PROTO, "the request ended early");
	return err_num(&q->e, in->err, "cannot read the request");
}

static char *arg_text(struct req *q, size_t max)
{
	return stream_cstr(q->in, &q->a, max);
}

static char *arg_path(struct req *q)
{
	return arg_text(q, PROTO_LIMIT_PATH);
}

/* A store path argument, refused before anything is done when it is none. */
static int ready_path(struct req *q, const char *path)
{
	int r = req_ready(q);
	return r ? r : local_check_path(q->s->l, path, &q->e);
}

static void out_list(struct req *q, const struct vec *v)
{
	wr_u64(&q->reply, v->n);
	for (size_t i = 0; i < v->n; i++)
		wr_cstr(&q->reply, v->v[i]);
}

static void out_sorted(struct req *q, struct vec *v)
{
	vec_sort_str(v);
	vec_uniq_str(v);
	out_list(q, v);
}

/* ---- Queries --------------------------------------------------------------------------------- */

static int op_is_valid(struct req *q)
{
	char *path = arg_path(q);
	int r = req_ready(q);
	if (r)
		return r;
	bool valid = false;
	r = local_check_path(q->s->l, path, &q->e);
	if (!r)
		r = local_is_valid(q->s->l, path, &valid, &q->e);
	wr_u64(&q->reply, valid);
	return r;
}

static int get_info(struct req *q, struct store_info **ret)
{
	char *path = arg_path(q);
	int r = ready_path(q, path);
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

static int op_path_info(struct req *q)
{
	struct store_info *info;
	int r = get_info(q, &info);
	if (r)
		return r;
	char hex[DIGEST_TEXT_MAX];
	digest_hex(&info->nar_hash, hex);
	wr_cstr(&q->reply, info->deriver ? info->deriver : "");
	wr_cstr(&q->reply, hex);
	out_refs(q, info);
	wr_u64(&q->reply, info->registered);
	wr_u64(&q->reply, info->nar_size);
	return 0;
}

typedef int query_fn(struct local *l, struct arena *a, const char *path, struct vec *ret,
		     struct err *e);

static int list_query(struct req *q, query_fn *fn)
{
	char *path = arg_path(q);
	int r = ready_path(q, path);
	if (r)
		return r;
	auto_vec struct vec v = VEC_INIT;
	r = fn(q->s->l, &q->a, path, &v, &q->e);
	out_sorted(q, &v);
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

static int need_valid(struct req *q, const char *path)
{
	bool valid;
	int r = local_is_valid(q->s->l, path, &valid, &q->e);
	if (!r && !valid)
		r = err_set(&q->e, -ERR_NOTVALID, "path `%s' is not valid", path);
	return r;
}

static int drv_query(struct req *q, bool names)
{
	char *path = arg_path(q);
	int r = ready_path(q, path);
	if (!r)
		r = need_valid(q, path);
	if (r)
		return r;
	auto_vec struct vec v = VEC_INIT;
	r = local_drv_outputs(q->s->l, &q->a, path, names ? &v : NULL, names ? NULL : &v, &q->e);
	out_sorted(q, &v);
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
	out_sorted(q, &v);
	return r;
}

static int op_from_hash_part(struct req *q)
{
	char *part = arg_text(q, PROTO_LIMIT_PATH);
	int r = req_ready(q);
	if (r)
		return r;
	if (strlen(part) != STORE_HASH_CHARS)
		return err_set(&q->e, -ERR_INVALID, "invalid hash part");
	const char *path = NULL;
	r = local_by_hash_part(q->s->l, &q->a, slice_of(part), &path, &q->e);
	wr_cstr(&q->reply, path ? path : "");
	return r;
}

static int ready_paths(struct req *q, const struct vec *v)
{
	int r = req_ready(q);
	for (size_t i = 0; !r && i < v->n; i++)
		r = local_check_path(q->s->l, v->v[i], &q->e);
	return r;
}

static int op_valid_paths(struct req *q)
{
	auto_vec struct vec v = VEC_INIT, found = VEC_INIT;
	stream_list(q->in, &q->a, &v);
	int r = ready_paths(q, &v);
	if (!r)
		r = local_valid_subset(q->s->l, &q->a, (const char *const *)v.v, v.n, &found,
				       &q->e);
	out_sorted(q, &found);
	return r;
}

/* Substitutes: none yet, and said so in the protocol's terms. */
static int op_subst(struct req *q)
{
	auto_vec struct vec v = VEC_INIT;
	stream_list(q->in, &q->a, &v);
	int r = ready_paths(q, &v);
	wr_u64(&q->reply, 0);
	return r;
}

static int op_subst_urls(struct req *q)
{
	wr_u64(&q->reply, 0);
	return req_ready(q);
}

static int op_builtins(struct req *q)
{
	wr_u64(&q->reply, 1);
	wr_cstr(&q->reply, "download");
	return req_ready(q);
}

/* ---- Adding ---------------------------------------------------------------------------------- */

static int op_add_text(struct req *q)
{
	char *name = arg_text(q, PROTO_LIMIT_PATH);
	struct slice contents = stream_str(q->in, &q->a, PROTO_LIMIT_TEXT);
	auto_vec struct vec refs = VEC_INIT;
	stream_list(q->in, &q->a, &refs);
	int r = ready_paths(q, &refs);
	char *path = NULL;
	if (!r)
		r = local_add_text(q->s->l, &q->a, name, contents, (const char *const *)refs.v,
				   refs.n, &path, &q->e);
	if (!r)
		wr_cstr(&q->reply, path);
	return r;
}

/* The NAR follows the arguments at once; an error inside it leaves the stream out of step. */
static int op_add_to_store(struct req *q)
{
	char *name = arg_text(q, PROTO_LIMIT_PATH);
	bool fixed = stream_bool(q->in);
	bool recursive = stream_bool(q->in);
	char *algo_name = arg_text(q, PROTO_LIMIT_PATH);
	int r = req_ready(q);
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
	char *path = arg_path(q);
	int r = ready_path(q, path);
	if (!r)
		r = local_temp_root(q->s->l, path, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

static int op_add_indirect_root(struct req *q)
{
	char *path = arg_path(q);
	int r = req_ready(q);
	if (!r && path[0] != '/')
		r = err_set(&q->e, -ERR_INVALID, "the root `%s' is not an absolute path", path);
	if (!r)
		r = roots_add_indirect(q->s->l, path, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

static int op_find_roots(struct req *q)
{
	auto_vec struct vec v = VEC_INIT;
	int r = req_ready(q);
	if (!r)
		r = roots_find(q->s->l, &q->a, &v, &q->e);
	wr_u64(&q->reply, v.n);
	for (size_t i = 0; i < v.n; i++) {
		const struct root *root = v.v[i];
		wr_cstr(&q->reply, root->link);
		wr_cstr(&q->reply, root->target);
	}
	return r;
}

/* ---- Building -------------------------------------------------------------------------------- */

static int op_build_paths(struct req *q)
{
	auto_vec struct vec things = VEC_INIT;
	stream_list(q->in, &q->a, &things);
	uint64_t mode = stream_max(q->in, PROTO_BUILD_CHECK);
	int r = req_ready(q);
	if (!r && mode == PROTO_BUILD_REPAIR)
		r = err_set(&q->e, -ERR_UNSUPPORTED, "repairing builds are not supported");
	if (!r)
		r = goal_build(q->s, &things, (enum proto_mode)mode, &q->status, &q->e);
	wr_u64(&q->reply, 1);
	return r;
}

static int op_ensure_path(struct req *q)
{
	char *path = arg_path(q);
	bool valid = false;
	int r = ready_path(q, path);
	if (!r)
		r = local_is_valid(q->s->l, path, &valid, &q->e);
	if (!r && !valid)
		r = err_set(&q->e, -ERR_NOTVALID, "path `%s' does not exist and cannot be created",
			    path);
	wr_u64(&q->reply, 1);
	return r;
}

static int set_number(struct req *q, const char *name, const char *value, uint64_t max,
		      uint64_t *place)
{
	uint64_t v;
	if (text_u64(slice_of(value), max, &v))
		return err_set(&q->e, -ERR_INVALID, "setting `%s' must be a number, not `%.40s'",
			       name, value);
	*place = v;
	return 0;
}

static int set_pair(struct req *q, const char *name, const char *value)
{
	struct session *s = q->s;
	if (strcmp(name, "build-max-jobs") == 0) {
		uint64_t n;
		int r = set_number(q, name, value, 1024, &n);
		if (!r)
			s->max_jobs = n ? n : 1;
		return r;
	}
	if (strcmp(name, "build-cores") == 0)
		return set_number(q, name, value, 1 << 20, &s->cores);
	if (strcmp(name, "build-timeout") == 0)
		return set_number(q, name, value, UINT32_MAX, &s->timeout);
	if (strcmp(name, "build-max-silent-time") == 0)
		return set_number(q, name, value, UINT32_MAX, &s->max_silent);
	if (strcmp(name, "multiplexed-build-output") == 0)
		s->multiplexed = strcmp(value, "true") == 0;
	if (strcmp(name, PROTO_PAIR_PLAN) == 0)
		s->plan = strcmp(value, "1") == 0;
	return 0; /* the rest concerns what we do not have */
}

static int op_set_options(struct req *q)
{
	struct session *s = q->s;
	struct stream *in = q->in;
	bool keep_failed = stream_u64(in) != 0;
	bool keep_going = stream_u64(in) != 0;
	(void)stream_u64(in); /* fallback: nothing to fall back from */
	uint64_t verbosity = stream_max(in, UINT32_MAX);
	(void)stream_u64(in); /* offloading */
	uint64_t build_verbosity = stream_max(in, UINT32_MAX);
	(void)stream_u64(in); /* log type */
	bool trace = stream_u64(in) != 0;
	(void)stream_u64(in); /* substitutes */
	auto_vec struct vec names = VEC_INIT, values = VEC_INIT;
	uint64_t n = stream_max(in, 1024);
	for (uint64_t i = 0; i < n && !in->err; i++) {
		vec_add(&names, arg_text(q, PROTO_LIMIT_STRING));
		vec_add(&values, arg_text(q, PROTO_LIMIT_STRING));
	}
	int r = req_ready(q);
	for (size_t i = 0; !r && i < names.n && i < values.n; i++)
		r = set_pair(q, names.v[i], values.v[i]);
	if (r)
		return r;
	s->keep_failed = keep_failed;
	s->keep_going = keep_going;
	s->verbosity = verbosity;
	s->build_verbosity = build_verbosity;
	s->trace = trace;
	return 0;
}

/* ---- Upkeep ---------------------------------------------------------------------------------- */

static void say_line(void *arg, const char *text)
{
	session_say(arg, "%s", text);
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
	int r = ready_paths(q, &paths);
	if (!r && ignore)
		r = err_set(&q->e, -ERR_UNSUPPORTED,
			    "you are not allowed to ignore liveness in garbage collections");
	struct gc_request g = { .action = (enum store_gc)action,
				.paths = (const char *const *)paths.v,
				.npaths = paths.n,
				.max_freed = max_freed,
				.progress = say_line,
				.arg = q->s };
	uint64_t bytes = 0;
	if (!r)
		r = gc_run(q->s->l, &q->a, &g, &out, &bytes, &q->e);
	out_list(q, &out);
	wr_u64(&q->reply, bytes);
	wr_u64(&q->reply, 0);
	return r;
}

static int op_verify(struct req *q)
{
	bool contents = stream_u64(q->in) != 0;
	bool repair = stream_u64(q->in) != 0;
	int r = req_ready(q);
	uint64_t errors = 0;
	if (!r && repair)
		r = err_set(&q->e, -ERR_UNSUPPORTED, "repairing the store is not supported");
	if (!r)
		r = local_verify(q->s->l, contents, say_line, q->s, &errors, &q->e);
	wr_u64(&q->reply, errors);
	return r;
}

static int op_optimise(struct req *q)
{
	auto_vec struct vec v = VEC_INIT;
	int r = req_ready(q);
	if (!r)
		r = local_all_valid(q->s->l, &q->a, &v, &q->e);
	for (size_t i = 0; !r && i < v.n; i++) {
		uint64_t saved;
		r = local_optimise(q->s->l, v.v[i], &saved, &q->e);
	}
	wr_u64(&q->reply, 1);
	return r;
}

/* ---- The connection -------------------------------------------------------------------------- */

static const struct {
	uint64_t op;
	int (*fn)(struct req *q);
} ops[] = {
	{ OP_IS_VALID, op_is_valid },
	{ OP_PATH_HASH, op_path_hash },
	{ OP_REFERENCES, op_references },
	{ OP_REFERRERS, op_referrers },
	{ OP_ADD_TO_STORE, op_add_to_store },
	{ OP_ADD_TEXT, op_add_text },
	{ OP_BUILD_PATHS, op_build_paths },
	{ OP_ENSURE_PATH, op_ensure_path },
	{ OP_ADD_TEMP_ROOT, op_add_temp_root },
	{ OP_ADD_INDIRECT_ROOT, op_add_indirect_root },
	{ OP_FIND_ROOTS, op_find_roots },
	{ OP_DERIVER, op_deriver },
	{ OP_SET_OPTIONS, op_set_options },
	{ OP_COLLECT_GARBAGE, op_collect_garbage },
	{ OP_DRV_OUTPUTS, op_drv_outputs },
	{ OP_ALL_VALID, op_all_valid },
	{ OP_PATH_INFO, op_path_info },
	{ OP_DRV_OUTPUT_NAMES, op_drv_output_names },
	{ OP_FROM_HASH_PART, op_from_hash_part },
	{ OP_SUBST_INFOS, op_subst },
	{ OP_VALID_PATHS, op_valid_paths },
	{ OP_SUBST_PATHS, op_subst },
	{ OP_VALID_DERIVERS, op_valid_derivers },
	{ OP_OPTIMISE, op_optimise },
	{ OP_VERIFY, op_verify },
	{ OP_BUILTINS, op_builtins },
	{ OP_SUBST_URLS, op_subst_urls },
};

static void send_error(struct stream *st, const struct err *e, int status)
{
	stream_put_u64(st, PROTO_ERROR);
	stream_put_cstr(st, e->msg);
	stream_put_u64(st, (uint64_t)(status > 0 ? status : 1));
}

/* Answer one request. false: the connection is out of step, or over. */
static bool answer(struct session *s)
{
	struct stream *st = &s->stream;
	uint64_t op = stream_u64(st);
	struct req q = { .s = s, .in = st, .a = ARENA_INIT, .reply = STR_INIT, .e = ERR_INIT };
	q.status = 1;
	st->left = PROTO_LIMIT_REQUEST;
	int r = 0;
	bool known = false;
	for (size_t i = 0; !st->err && i < ARRAY_LEN(ops) && !known; i++) {
		if (ops[i].op != op)
			continue;
		known = true;
		r = ops[i].fn(&q);
	}
	if (!known && !st->err) {
		r = err_set(&q.e, -ERR_PROTO, "invalid operation %llu", (unsigned long long)op);
		st->err = -ERR_PROTO;
	}
	int broken = st->err; /* by reading; the answer can still be written */
	if (broken != -EPIPE && broken != -ECONNRESET)
		st->err = 0;
	if (!r && str_err(&q.reply))
		r = err_set(&q.e, -ENOMEM, "out of memory");
	if (!r && s->lost.code) { /* earlier answers promised too much */
		q.e = s->lost;
		s->lost = (struct err)ERR_INIT;
		r = q.e.code;
	}
	if (r) {
		send_error(st, &q.e, q.status);
	} else {
		stream_put_u64(st, PROTO_LAST);
		stream_put_raw(st, q.reply.buf, q.reply.len);
	}
	bool sent = stream_flush(st) == 0;
	str_done(&q.reply);
	arena_done(&q.a);
	return sent && !broken && !s->client_gone;
}

static void close_with(struct stream *st, const char *text)
{
	struct err e = ERR_INIT;
	err_set(&e, -ERR_PROTO, "%s", text);
	st->err = 0;
	send_error(st, &e, 1);
	(void)stream_flush(st); /* it is over anyway */
}

static bool greet(struct stream *st)
{
	uint64_t magic = stream_u64(st);
	if (st->err)
		return false;
	if (magic != PROTO_MAGIC_CLIENT) {
		close_with(st, "protocol mismatch");
		return false;
	}
	stream_put_u64(st, PROTO_MAGIC_SERVER);
	stream_put_u64(st, PROTO_VERSION);
	if (stream_flush(st))
		return false;
	uint64_t version = stream_u64(st);
	if (st->err)
		return false;
	if (PROTO_MAJOR(version) != PROTO_MAJOR(PROTO_VERSION) ||
	    PROTO_MINOR(version) < PROTO_MINOR_MIN) {
		close_with(st, "the client's protocol version is not supported");
		return false;
	}
	if (stream_u64(st) != 0)
		(void)stream_u64(st); /* the processor it would like: not ours to obey */
	(void)stream_u64(st);	      /* reserved space: we keep none */
	if (st->err)
		close_with(st, "malformed greeting");
	return !st->err;
}

static int open_session(struct session *s, const struct serve_opts *o, struct err *e)
{
	int r = local_open(&o->local, &s->l, e);
	if (r) {
		int broker = o->broker;
		fd_close(&broker);
		return r;
	}
	if (o->broker >= 0)
		return slots_broker(o->broker, &s->slots, e);
	return slots_files(s->l, &s->slots, e);
}

uint64_t serve_processors(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n < 1 ? 1 : (uint64_t)n;
}

/* Additions wait for each other to be made durable together; others wait for them, so not while
 * the client is silent or does not listen. */
static void flush_when_idle(void *arg)
{
	struct session *s = arg;
	struct err e = ERR_INIT;
	if (local_pending(s->l) && local_flush(s->l, &e) < 0 && !s->lost.code)
		s->lost = e;
}

/* Builders must not find signals ignored that whoever started us ignored. The four that end a
 * client keep what it wants (nohup); each builder resets them. */
static void own_signals(void)
{
	for (int i = 1; i < NSIG; i++)
		if (i != SIGHUP && i != SIGINT && i != SIGQUIT && i != SIGTERM)
			proc_signal_default(i);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
}

/* Walks over deep trees hold one or two descriptors a level; builders get the usual limit again. */
static void more_descriptors(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= DESCRIPTORS)
		return;
	l.rlim_cur = MIN_OF(l.rlim_max, (rlim_t)DESCRIPTORS);
	(void)setrlimit(RLIMIT_NOFILE, &l); /* without it only the deepest trees are refused */
}

void serve(int fd, const struct serve_opts *o)
{
	struct session s = { .client_uid = o->client_uid,
			     .client_gid = o->client_gid,
			     .trusted = o->trusted,
			     .max_jobs = o->max_jobs ? o->max_jobs : serve_processors(),
			     .cores = o->cores,
			     .max_silent = MAX_SILENT_DEFAULT,
			     .timeout = TIMEOUT_DEFAULT,
			     .work = WORKDIR_INIT };
	struct err e = ERR_INIT;
	umask(022);
	own_signals();
	more_descriptors();
	if (stream_init(&s.stream, fd))
		return;
	struct stream *st = &s.stream;
	st->stall_ns = PROTO_HELLO_SECONDS * 1000000000ull;
	if (!greet(st)) {
		int broker = o->broker;
		fd_close(&broker);
		stream_done(st);
		return;
	}
	if (open_session(&s, o, &e)) {
		send_error(st, &e, 1);
		(void)stream_flush(st); /* it is over anyway */
		session_done(&s);
		return;
	}
	st->idle = flush_when_idle;
	st->idle_arg = &s;
	stream_put_u64(st, PROTO_LAST);
	bool go = stream_flush(st) == 0;
	while (go) {
		st->stall_ns = 0; /* between requests a client may think as long as it likes */
		if (!stream_wait(st))
			break;
		st->stall_ns = PROTO_STALL_SECONDS * 1000000000ull;
		go = answer(&s);
	}
	session_done(&s);
}
