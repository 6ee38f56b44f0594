/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a build daemon is asked to do. */
#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/remote/conn.h"

/* ---- Adding ---------------------------------------------------------------------------------- */

int store_add_text(struct store_conn *c, struct arena *a, const char *name, struct slice contents,
		   const char *const *refs, size_t nrefs, char **ret, struct err *e)
{
	int r = conn_begin(c, OP_ADD_TEXT, e);
	if (r)
		return r;
	stream_put_cstr(&c->s, name);
	stream_put_str(&c->s, contents);
	conn_put_strings(c, refs, nrefs);
	return conn_reply_path(c, a, ret, e);
}

int store_add_tree(struct store_conn *c, struct arena *a, const char *name, int dirfd,
		   const char *path, bool recursive, enum digest_algo algo, nar_filter_fn *filter,
		   void *arg, char **ret, struct err *e)
{
	int r = store_name_check(slice_of(name), e);
	if (!r)
		r = conn_begin(c, OP_ADD_TO_STORE, e);
	if (r)
		return r;
	auto_arena struct arena tmp = ARENA_INIT;
	struct nar_sink *sink = stream_sink(&c->s, &tmp);
	if (!sink)
		return err_set(e, -ENOMEM, "out of memory");
	stream_put_cstr(&c->s, name);
	stream_put_u64(&c->s, 1); /* "fixed": algorithm and form count */
	stream_put_u64(&c->s, recursive);
	stream_put_cstr(&c->s, digest_name(algo));
	r = nar_dump(dirfd, path, filter, arg, sink, e);
	if (r && !c->s.err) /* half a NAR is in the stream: nothing can follow it */
		c->s.err = -EPIPE;
	else if (r && (c->s.err == -EPIPE || c->s.err == -ECONNRESET))
		r = conn_finish(c, e);
	return r ? r : conn_reply_path(c, a, ret, e);
}

/* Send what was put, show how it goes on, and take the answer, which is a number that says nothing.
 */
static int finish_shown(struct store_conn *c, const struct progress_opts *po, struct err *e)
{
	int r;

	c->progress = progress_new(po);
	r = conn_finish(c, e);
	progress_free(c->progress);
	c->progress = NULL;
	if (r)
		return r;
	(void)stream_u64(&c->s);
	return conn_done(c, e);
}

int store_build(struct store_conn *c, const char *const *things, size_t n, struct err *e)
{
	struct progress_opts po = { .quiet = c->opts.quiet,
				    .verbose = c->opts.verbose,
				    .raw = c->opts.raw,
				    .root = c->root };
	int r = conn_begin(c, OP_BUILD_PATHS, e);
	if (r)
		return r;
	conn_put_strings(c, things, n);
	stream_put_u64(&c->s, c->opts.check    ? PROTO_BUILD_CHECK
			      : c->opts.repair ? PROTO_BUILD_REPAIR
					       : PROTO_BUILD_NORMAL);
	return finish_shown(c, &po, e);
}

int store_confirm(struct store_conn *c, const char *const *paths, size_t n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	bool valid = true;
	/* A question about everything makes the daemon end what is pending, and fail with it. */
	int r = n ? store_referrers(c, &a, paths[n - 1], &v, e) : 0;
	for (size_t i = 0; !r && i < n; i++) {
		r = store_is_valid(c, paths[i], &valid, e);
		if (!r && !valid)
			r = err_set(e, -ERR_REMOTE, "path `%s' was added and is not valid",
				    paths[i]);
	}
	return r;
}

/* ---- Roots and upkeep ------------------------------------------------------------------------ */

int store_add_temp_root(struct store_conn *c, const char *path, struct err *e)
{
	int r = conn_ask_path(c, OP_ADD_TEMP_ROOT, path, e);
	if (r)
		return r;
	(void)stream_u64(&c->s);
	return conn_done(c, e);
}

/* The item's row must not be lost while a link on the disk holds the item. */
static int settle(struct store_conn *c, struct err *e)
{
	int r = conn_begin(c, OP_SYNC_WITH_GC, e);
	if (!r)
		r = conn_finish(c, e);
	if (r)
		return r;
	(void)stream_u64(&c->s);
	return conn_done(c, e);
}

int store_add_root(struct store_conn *c, const char *link, const char *item, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *target = store_conn_physical(c, &a, item);
	char *path = client_absolute(&a, link);
	if (!target || !path)
		return err_set(e, -ENOMEM, "out of memory");
	int r = store_add_temp_root(c, item, e);
	if (!r)
		r = settle(c, e);
	if (!r)
		r = file_symlink_atomic(AT_FDCWD, target, path, e);
	if (!r)
		r = conn_ask_path(c, OP_ADD_INDIRECT_ROOT, path, e);
	if (r)
		return r;
	(void)stream_u64(&c->s);
	return conn_done(c, e);
}

int store_verify(struct store_conn *c, bool contents, bool repair, const struct store_found *found,
		 uint64_t *ret_errors, struct err *e)
{
	int r = conn_begin(c, OP_VERIFY, e);
	if (r)
		return r;
	stream_put_u64(&c->s, contents);
	stream_put_u64(&c->s, repair);
	struct progress_opts po = { .quiet = c->opts.quiet,
				    .root = c->root,
				    .what = contents ? "reading the store" : "checking the store",
				    .remark = found ? found->line : NULL,
				    .arg = found ? found->arg : NULL };
	c->progress = progress_new(&po); /* prints what was found */
	r = conn_finish(c, e);
	progress_free(c->progress);
	c->progress = NULL;
	if (r)
		return r;
	*ret_errors = stream_u64(&c->s);
	return conn_done(c, e);
}

int store_optimise(struct store_conn *c, struct err *e)
{
	int r = conn_begin(c, OP_OPTIMISE, e);
	if (r)
		return r;
	struct progress_opts po = { .quiet = c->opts.quiet,
				    .root = c->root,
				    .what = "comparing files" };
	return finish_shown(c, &po, e);
}

int store_gc(struct store_conn *c, struct arena *a, enum store_gc action, const char *const *paths,
	     size_t n, uint64_t max_freed, struct vec *ret_paths, uint64_t *ret_bytes,
	     struct err *e)
{
	int r = conn_begin(c, OP_COLLECT_GARBAGE, e);
	if (r)
		return r;
	stream_put_u64(&c->s, action);
	conn_put_strings(c, paths, n);
	stream_put_u64(&c->s, 0); /* liveness counts */
	stream_put_u64(&c->s, max_freed);
	for (int i = 0; i < 3; i++)
		stream_put_u64(&c->s, 0);
	struct progress_opts po = { .quiet = c->opts.quiet,
				    .what = "collecting garbage",
				    .mute = true }; /* the paths come with the answer */
	c->progress = progress_new(&po);
	r = conn_finish(c, e);
	progress_free(c->progress);
	c->progress = NULL;
	if (r)
		return r;
	stream_list(&c->s, a, ret_paths);
	*ret_bytes = stream_u64(&c->s);
	(void)stream_u64(&c->s);
	return conn_done(c, e);
}

int store_failures_forget(struct store_conn *c, const char *const *paths, size_t n, struct err *e)
{
	int r = conn_begin(c, OP_CLEAR_FAILED, e);
	if (r)
		return r;
	conn_put_strings(c, paths, n);
	r = conn_finish(c, e);
	if (!r)
		(void)stream_u64(&c->s);
	return r ? r : conn_done(c, e);
}

/* ---- Bundles --------------------------------------------------------------------------------- */

int client_export_begin(struct store_conn *c, const char *path, bool sign, struct err *e)
{
	int r = conn_begin(c, OP_EXPORT_PATH, e);
	if (r)
		return r;
	stream_put_cstr(&c->s, path);
	stream_put_u64(&c->s, sign);
	return stream_flush(&c->s) ? conn_broken(c, e) : 0;
}

/* The next piece of an export; an empty one at its end. */
static int next_piece(struct store_conn *c, struct err *e)
{
	struct stream *s = &c->s;
	auto_arena struct arena a = ARENA_INIT;
	str_cut(&c->got, 0);
	c->got_at = 0;
	for (;;) {
		uint64_t tag = stream_u64(s);
		if (tag == PROTO_LAST) {
			(void)stream_u64(s);
			return conn_done(c, e);
		}
		if (tag == PROTO_ERROR)
			return conn_read_error(c, e);
		if (tag != PROTO_NEXT && tag != PROTO_WRITE && !s->err)
			s->err = -ERR_PROTO;
		struct slice text = stream_str(s, &a, PROTO_LIMIT_TEXT);
		if (s->err)
			return conn_broken(c, e);
		if (tag == PROTO_WRITE && text.n) {
			str_addn(&c->got, text.p, text.n);
			return str_err(&c->got) ? err_set(e, -ENOMEM, "out of memory") : 0;
		}
	}
}

int client_export_read(struct store_conn *c, void *p, size_t n, size_t *ret, struct err *e)
{
	int r = c->got_at < c->got.len ? 0 : next_piece(c, e);
	if (r)
		return r;
	*ret = MIN_OF(n, c->got.len - c->got_at);
	memcpy(p, c->got.buf + c->got_at, *ret);
	c->got_at += *ret;
	return 0;
}

int client_import(struct store_conn *c, struct arena *a, client_feed_fn *feed, void *arg,
		  struct vec *ret_paths, struct err *e)
{
	int r = conn_begin(c, OP_IMPORT_PATHS, e);
	if (r)
		return r;
	c->feed = feed;
	c->feed_arg = arg;
	r = conn_finish(c, e);
	c->feed = NULL;
	if (r)
		return r;
	stream_list(&c->s, a, ret_paths);
	return conn_done(c, e);
}
