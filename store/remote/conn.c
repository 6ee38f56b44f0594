/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/remote/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "lib/size.h"
#include "store/daemon/serve.h"

#define TICK_MS	    1000
#define PIECE_BYTES 65536

int conn_name_remote(struct store_conn *c, int r, struct err *e)
{
	return c->opts.remote ? err_wrap(e, r, "%s", c->opts.remote) : r;
}

/* Connection failures as errors; the daemon's last words, when there are any, are better. */
int conn_broken(struct store_conn *c, struct err *e)
{
	int err = c->s.err;
	if (err == -ENODATA || err == -EPIPE || err == -ECONNRESET)
		err = err_set(e, -ERR_PROTO, "the build daemon closed the connection");
	else if (err == -ERR_LIMIT || err == -ERR_PROTO)
		err = err_set(e, -ERR_PROTO, "the build daemon sent something malformed");
	else
		err_num(e, err, "cannot talk to the build daemon");
	return conn_name_remote(c, err, e);
}

static void wait_ticking(struct store_conn *c)
{
	struct pollfd p = { .fd = c->s.fd, .events = POLLIN };
	while (c->progress && c->s.pos == c->s.len && poll(&p, 1, TICK_MS) == 0)
		progress_tick(c->progress);
}

static int code_of(uint64_t status)
{
	switch (status) {
	case PROTO_STATUS_FAILED:
		return -ERR_BUILD;
	case PROTO_STATUS_TIMEOUT:
		return -ERR_TIMEOUT;
	case PROTO_STATUS_DIFFERS:
		return -ERR_DIFFERS;
	default:
		return -ERR_REMOTE;
	}
}

/* What the other side asked for; when we have it not it cannot be told, so the connection ends. */
static int send_piece(struct store_conn *c, struct err *e)
{
	static char buf[PIECE_BYTES];
	size_t n = (size_t)MIN_OF(stream_u64(&c->s), (uint64_t)sizeof(buf)), got = 0;
	if (c->s.err)
		return conn_broken(c, e);
	int r = c->feed(c->feed_arg, buf, n, &got, e);
	if (r) {
		c->s.err = -ECONNABORTED;
		return r;
	}
	stream_put_str(&c->s, (struct slice){ buf, got });
	return stream_flush(&c->s) ? conn_broken(c, e) : 0;
}

int conn_read_error(struct store_conn *c, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *msg = stream_cstr(&c->s, &a, PROTO_LIMIT_TEXT);
	int code = code_of(stream_u64(&c->s));
	if (c->s.err)
		return conn_broken(c, e);
	err_set(e, code, "%s", msg);
	return code == -ERR_REMOTE ? conn_name_remote(c, code, e) : code;
}

/* Read messages up to LAST or ERROR. */
static int read_messages(struct store_conn *c, struct err *e)
{
	struct stream *s = &c->s;
	for (;;) {
		auto_arena struct arena a = ARENA_INIT;
		wait_ticking(c);
		uint64_t tag = stream_u64(s);
		if (s->err)
			return conn_broken(c, e);
		if (tag == PROTO_LAST)
			return 0;
		if (tag == PROTO_NEXT || tag == PROTO_WRITE) {
			struct slice text = stream_str(s, &a, PROTO_LIMIT_TEXT);
			if (c->progress && tag == PROTO_NEXT && !s->err)
				progress_text(c->progress, text);
		} else if (tag == PROTO_ERROR) {
			return conn_read_error(c, e);
		} else if (tag == PROTO_READ && c->feed) {
			int r = send_piece(c, e);
			if (r)
				return r;
		} else {
			s->err = -ERR_PROTO;
		}
	}
}

static int send_options(struct store_conn *c, struct err *e);

int conn_begin(struct store_conn *c, enum proto_op op, struct err *e)
{
	if (c->s.err)
		return conn_broken(c, e);
	bool matter = op == OP_BUILD_PATHS || op == OP_VERIFY || op == OP_SUBST_INFOS;
	matter |= op == OP_FIND_ROOTS && c->opts.busy;
	int r = matter ? send_options(c, e) : 0;
	if (!r)
		stream_put_u64(&c->s, op);
	return r;
}

int conn_finish(struct store_conn *c, struct err *e)
{
	struct stream *s = &c->s;
	if (stream_flush(s) && (s->err == -EPIPE || s->err == -ECONNRESET)) {
		int err = s->err;
		s->err = 0; /* the daemon hung up on us; it may have said why */
		int r = read_messages(c, e);
		s->err = err;
		return r ? r : conn_broken(c, e);
	}
	return s->err ? conn_broken(c, e) : read_messages(c, e);
}

int conn_done(struct store_conn *c, struct err *e)
{
	return c->s.err ? conn_broken(c, e) : 0;
}

int conn_ask_path(struct store_conn *c, enum proto_op op, const char *path, struct err *e)
{
	int r = conn_begin(c, op, e);
	if (r)
		return r;
	stream_put_cstr(&c->s, path);
	return conn_finish(c, e);
}

int conn_ask_list(struct store_conn *c, struct arena *a, enum proto_op op, const char *path,
		  struct vec *ret, struct err *e)
{
	int r = conn_ask_path(c, op, path, e);
	if (r)
		return r;
	stream_list(&c->s, a, ret);
	return conn_done(c, e);
}

int conn_ask_all(struct store_conn *c, struct arena *a, enum proto_op op, struct vec *ret,
		 struct err *e)
{
	int r = conn_begin(c, op, e);
	if (!r)
		r = conn_finish(c, e);
	if (r)
		return r;
	stream_list(&c->s, a, ret);
	return conn_done(c, e);
}

void conn_put_strings(struct store_conn *c, const char *const *v, size_t n)
{
	stream_put_u64(&c->s, n);
	for (size_t i = 0; i < n; i++)
		stream_put_cstr(&c->s, v[i]);
}

static void put_pair_u64(struct store_conn *c, const char *name, uint64_t v)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	stream_put_cstr(&c->s, name);
	stream_put_cstr(&c->s, text);
}

static int send_options(struct store_conn *c, struct err *e)
{
	const struct store_opts *o = &c->opts;
	struct stream *s = &c->s;
	if (c->options_sent)
		return 0;
	uint64_t jobs = o->max_jobs ? o->max_jobs : serve_processors();
	uint64_t cores = o->cores || o->remote ? o->cores : serve_processors(); /* 0: its own */
	stream_put_u64(s, OP_SET_OPTIONS);
	stream_put_u64(s, o->keep_failed);
	stream_put_u64(s, o->keep_going);
	stream_put_u64(s, o->fallback);
	stream_put_u64(s, 1); /* verbosity */
	stream_put_u64(s, 1); /* offload, if the daemon can */
	stream_put_u64(s, 0); /* build verbosity: all that builders print */
	stream_put_u64(s, 0); /* log type */
	stream_put_u64(s, 1); /* trace lines */
	stream_put_u64(s, !o->no_substitutes);
	stream_put_u64(s, 5 + (o->timeout ? 1 : 0) + (o->max_silent ? 1 : 0) +
				  (o->substitute_urls ? 1 : 0));
	put_pair_u64(c, "build-max-jobs", jobs);
	put_pair_u64(c, "build-cores", cores);
	put_pair_u64(c, PROTO_PAIR_PLAN, 1);
	put_pair_u64(c, PROTO_PAIR_BUSY, o->busy);
	stream_put_cstr(s, "multiplexed-build-output");
	stream_put_cstr(s, "true");
	if (o->timeout)
		put_pair_u64(c, "build-timeout", o->timeout);
	if (o->max_silent)
		put_pair_u64(c, "build-max-silent-time", o->max_silent);
	if (o->substitute_urls) {
		stream_put_cstr(s, "substitute-urls");
		stream_put_cstr(s, o->substitute_urls);
	}
	int r = conn_finish(c, e);
	c->options_sent = r == 0;
	return r;
}

int conn_reply_path(struct store_conn *c, struct arena *a, char **ret, struct err *e)
{
	int r = conn_finish(c, e);
	if (r)
		return r;
	char *path = stream_cstr(&c->s, a, PROTO_LIMIT_PATH);
	r = conn_done(c, e);
	if (!r)
		*ret = path;
	return r;
}
