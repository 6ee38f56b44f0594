/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Questions to a build daemon. */
#include <errno.h>

#include "lib/tab.h"
#include "store/remote/conn.h"

/* Questions on their way. Even with the longest names they fit a socket's buffer: else both sides
 * could wait for the other to read. */
#define AHEAD 128

int store_is_valid(struct store_conn *c, const char *path, bool *ret, struct err *e)
{
	int r = conn_ask_path(c, OP_IS_VALID, path, e);
	if (r)
		return r;
	bool valid = stream_bool(&c->s);
	r = conn_done(c, e);
	if (!r)
		*ret = valid;
	return r;
}

/* The protocol has one status for all errors: tell "not valid" apart by asking. */
static int name_invalid(struct store_conn *c, const char *path, int code, struct err *e)
{
	bool valid;
	if (code != -ERR_REMOTE || store_is_valid(c, path, &valid, NULL) || valid)
		return code;
	return conn_name_remote(c, err_set(e, -ERR_NOTVALID, "path `%s' is not valid", path), e);
}

/* The answer to OP_PATH_INFO. */
static int read_info(struct store_conn *c, struct arena *a, const char *path,
		     struct store_info **ret, struct err *e)
{
	struct store_info *info = ARENA_NEW(a, struct store_info);
	auto_vec struct vec refs = VEC_INIT;
	char *deriver = stream_cstr(&c->s, a, PROTO_LIMIT_PATH);
	char *hash = stream_cstr(&c->s, a, PROTO_LIMIT_PATH);
	stream_list(&c->s, a, &refs);
	uint64_t when = stream_u64(&c->s);
	uint64_t size = stream_u64(&c->s);
	int r = conn_done(c, e);
	if (r)
		return r;
	vec_sort_str(&refs);
	struct digest d;
	if (digest_parse(DIGEST_SHA256, slice_of(hash), &d))
		return err_set(e, -ERR_PROTO, "the build daemon sent a malformed hash");
	const char **v = arena_dup(a, refs.v, refs.n * sizeof(void *));
	char *name = arena_str(a, path);
	if (!info || !v || !name)
		return err_set(e, -ENOMEM, "out of memory");
	*info = (struct store_info){ .path = name,
				     .deriver = deriver,
				     .nar_hash = d,
				     .nar_size = size,
				     .registered = when,
				     .refs = v,
				     .nrefs = refs.n };
	*ret = info;
	return 0;
}

int store_info(struct store_conn *c, struct arena *a, const char *path, struct store_info **ret,
	       struct err *e)
{
	int r = conn_ask_path(c, OP_PATH_INFO, path, e);
	if (r)
		return name_invalid(c, path, r, e);
	return read_info(c, a, path, ret, e);
}

int store_infos(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		struct store_info **ret, struct err *e)
{
	int r = 0;
	for (size_t i = 0, asked = 0; !r && i < n; i++) {
		if (asked == i)
			for (; !r && asked < n && asked - i < AHEAD; asked++) {
				r = conn_begin(c, OP_PATH_INFO, e);
				stream_put_cstr(&c->s, paths[asked]);
			}
		if (!r)
			r = conn_finish(c, e);
		if (!r) {
			r = read_info(c, a, paths[i], &ret[i], e);
			continue;
		}
		for (size_t left = asked - i - 1; left && !c->s.err; left--) {
			auto_arena struct arena rest = ARENA_INIT;
			struct store_info *ignored;
			if (conn_finish(c, NULL) == 0)
				(void)read_info(c, &rest, "", &ignored, NULL);
		}
		return name_invalid(c, paths[i], r, e);
	}
	return r;
}

int store_offers(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		 struct vec *ret, struct err *e)
{
	int r = conn_begin(c, OP_SUBST_INFOS, e);
	if (r)
		return r;
	conn_put_strings(c, paths, n);
	r = conn_finish(c, e);
	if (r)
		return r;
	for (uint64_t left = stream_u64(&c->s); left && !c->s.err; left--) {
		struct store_offer *o = ARENA_NEW(a, struct store_offer);
		auto_vec struct vec refs = VEC_INIT;
		char *path = stream_cstr(&c->s, a, PROTO_LIMIT_PATH);
		(void)stream_cstr(&c->s, a, PROTO_LIMIT_PATH); /* its deriver */
		stream_list(&c->s, a, &refs);
		uint64_t download = stream_u64(&c->s);
		uint64_t size = stream_u64(&c->s);
		const char **v = arena_dup(a, refs.v, refs.n * sizeof(void *));
		if (!o || !path || !v)
			return err_set(e, -ENOMEM, "out of memory");
		*o = (struct store_offer){ path, v, refs.n, download, size };
		vec_add(ret, o);
	}
	return ret->err ? err_set(e, ret->err, "out of memory") : conn_done(c, e);
}

int store_valid_subset(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		       struct vec *ret, struct err *e)
{
	int r = conn_begin(c, OP_VALID_PATHS, e);
	if (r)
		return r;
	conn_put_strings(c, paths, n);
	r = conn_finish(c, e);
	if (r)
		return r;
	stream_list(&c->s, a, ret);
	vec_sort_str(ret);
	return conn_done(c, e);
}

int store_referrers(struct store_conn *c, struct arena *a, const char *path, struct vec *ret,
		    struct err *e)
{
	return conn_ask_list(c, a, OP_REFERRERS, path, ret, e);
}

int store_derivers(struct store_conn *c, struct arena *a, const char *path, struct vec *ret,
		   struct err *e)
{
	return conn_ask_list(c, a, OP_VALID_DERIVERS, path, ret, e);
}

int store_failures(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e)
{
	return conn_ask_all(c, a, OP_FAILED_PATHS, ret, e);
}

int store_drv_outputs(struct store_conn *c, struct arena *a, const char *drv, struct vec *ret,
		      struct err *e)
{
	return name_invalid(c, drv, conn_ask_list(c, a, OP_DRV_OUTPUTS, drv, ret, e), e);
}

int store_all_valid(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e)
{
	int r = conn_ask_all(c, a, OP_ALL_VALID, ret, e);
	if (!r)
		vec_sort_str(ret);
	return r;
}

static int closure_add(struct tab *seen, struct vec *ret, char *path, struct err *e)
{
	bool fresh;
	if (!tab_put(seen, slice_of(path), &fresh))
		return err_set(e, -ENOMEM, "out of memory");
	if (fresh)
		vec_add(ret, path);
	return ret->err ? err_set(e, ret->err, "out of memory") : 0;
}

/* Answers to questions that were sent already, after one of them was an error. */
static void closure_drain(struct store_conn *c, size_t n)
{
	for (; n && !c->s.err; n--) {
		auto_arena struct arena a = ARENA_INIT;
		auto_vec struct vec refs = VEC_INIT;
		if (conn_finish(c, NULL) == 0)
			stream_list(&c->s, &a, &refs);
	}
}

/* What the paths in ret from the n-th on refer to, appended to it, and so on. Questions go out in
 * batches, so that neither side waits for the other between two of them. */
static int closure_walk(struct store_conn *c, struct arena *a, size_t n, struct tab *seen,
			struct vec *ret, struct err *e)
{
	int r = 0;
	for (size_t asked = n; !r && n < ret->n; n++) {
		auto_vec struct vec refs = VEC_INIT;
		if (asked == n)
			for (; !r && asked < ret->n && asked - n < AHEAD; asked++) {
				r = conn_begin(c, OP_REFERENCES, e);
				stream_put_cstr(&c->s, ret->v[asked]);
			}
		if (!r)
			r = conn_finish(c, e);
		if (!r) {
			stream_list(&c->s, a, &refs);
			r = conn_done(c, e);
		}
		for (size_t k = 0; !r && k < refs.n; k++)
			r = closure_add(seen, ret, refs.v[k], e);
		if (r) {
			closure_drain(c, asked - n - 1);
			return name_invalid(c, ret->v[n], r, e);
		}
	}
	return r;
}

int store_closure(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		  struct vec *ret, struct err *e)
{
	auto_tab struct tab seen = TAB_INIT;
	size_t start = ret->n;
	int r = 0;
	for (size_t i = 0; !r && i < n; i++) {
		char *path = arena_str(a, paths[i]);
		r = path ? closure_add(&seen, ret, path, e) : err_set(e, -ENOMEM, "out of memory");
	}
	if (!r)
		r = closure_walk(c, a, start, &seen, ret, e);
	vec_sort_str(ret);
	return r;
}

int store_by_hash_part(struct store_conn *c, struct arena *a, const char *part, char **ret,
		       struct err *e)
{
	char *path;
	int r = conn_begin(c, OP_FROM_HASH_PART, e);
	if (r)
		return r;
	stream_put_cstr(&c->s, part);
	r = conn_reply_path(c, a, &path, e);
	if (!r && !*path)
		return err_set(e, -ERR_NOTFOUND, "no valid path begins with %s", part);
	if (!r)
		*ret = path;
	return r;
}

int store_roots(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e)
{
	int r = conn_begin(c, OP_FIND_ROOTS, e);
	if (!r)
		r = conn_finish(c, e);
	if (r)
		return r;
	uint64_t n = stream_max(&c->s, PROTO_LIMIT_LIST);
	for (uint64_t i = 0; i < n && !c->s.err; i++) {
		vec_add(ret, stream_cstr(&c->s, a, PROTO_LIMIT_PATH));
		vec_add(ret, stream_cstr(&c->s, a, PROTO_LIMIT_PATH));
	}
	return conn_done(c, e);
}
