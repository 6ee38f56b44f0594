/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "lib/wire.h"
#include "store/format/protocol.h"

#define IN_SIZE	 (64u << 10)
#define OUT_HIGH (256u << 10)
#define IDLE_NS	 30000000ull /* without a byte, after which idle is called */

int stream_init(struct stream *s, int fd)
{
	*s = (struct stream){ .fd = fd, .out = STR_INIT, .left = SIZE_MAX };
	s->in = malloc(IN_SIZE);
	if (!s->in) {
		fd_close(&s->fd);
		return -ENOMEM;
	}
	return 0;
}

void stream_done(struct stream *s)
{
	if (!s)
		return;
	fd_close(&s->fd);
	free(s->in);
	s->in = NULL;
	str_done(&s->out);
}

static void fail(struct stream *s, int code)
{
	if (!s->err)
		s->err = code;
}

/* Poll for at most ns; 0: for ever. */
static int wait_ns(struct stream *s, short events, uint64_t ns)
{
	struct pollfd p = { .fd = s->fd, .events = events };
	int r;
	do
		r = poll(&p, 1, ns ? (int)((ns + 999999) / 1000000) : -1);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

/* Wait until a byte can move, within the limits. */
static int wait_for(struct stream *s, short events)
{
	if (!s->stall_ns && !s->until && !s->idle)
		return 0; /* the call itself waits */
	int r = s->idle ? wait_ns(s, events, IDLE_NS) : -ETIMEDOUT;
	if (r != -ETIMEDOUT)
		return r;
	if (s->idle)
		s->idle(s->idle_arg);
	uint64_t now = s->until ? loop_now() : 0, ns = s->stall_ns;
	if (s->until && now >= s->until)
		return -ETIMEDOUT;
	if (s->until && (!ns || s->until - now < ns))
		ns = s->until - now;
	return wait_ns(s, events, ns);
}

static ssize_t receive(struct stream *s, void *p, size_t n)
{
	int r = wait_for(s, POLLIN);
	if (r)
		return r;
	return fd_read_some(s->fd, p, n);
}

static bool fill(struct stream *s)
{
	if (s->err || stream_flush(s)) /* who waits for an answer sends nothing more */
		return false;
	ssize_t n = receive(s, s->in, IN_SIZE);
	if (n <= 0) {
		fail(s, n < 0 ? (int)n : -ENODATA);
		return false;
	}
	s->pos = 0;
	s->len = (size_t)n;
	return true;
}

bool stream_wait(struct stream *s)
{
	return s->err ? false : s->pos < s->len || fill(s);
}

void stream_read(struct stream *s, void *p, size_t n)
{
	char *out = p;
	while (n && !s->err) {
		size_t have = MIN_OF(s->len - s->pos, n);
		if (have) {
			memcpy(out, s->in + s->pos, have);
			s->pos += have;
		} else if (n >= IN_SIZE) { /* big pieces go past the buffer */
			ssize_t got = receive(s, out, n);
			if (got <= 0) {
				fail(s, got < 0 ? (int)got : -ENODATA);
				break;
			}
			have = (size_t)got;
		} else if (!fill(s)) {
			break;
		}
		out += have;
		n -= have;
	}
	if (n)
		memset(out, 0, n);
}

uint64_t stream_u64(struct stream *s)
{
	uint8_t b[8];
	stream_read(s, b, sizeof(b));
	uint64_t v = 0;
	for (size_t i = sizeof(b); i-- > 0;)
		v = v << 8 | b[i];
	return s->err ? 0 : v;
}

uint64_t stream_max(struct stream *s, uint64_t max)
{
	uint64_t v = stream_u64(s);
	if (v <= max)
		return v;
	fail(s, -ERR_PROTO);
	return 0;
}

bool stream_bool(struct stream *s)
{
	return stream_max(s, 1) == 1;
}

/* Bytes and padding of a string whose length was read and checked. */
static void read_body(struct stream *s, struct str *out, size_t n)
{
	char pad[8] = { 0 };
	for (size_t done = 0; done < n && !s->err;) {
		size_t part = MIN_OF(n - done, (size_t)IN_SIZE);
		char *p = str_room(out, part);
		if (!p) {
			fail(s, -ENOMEM);
			return;
		}
		stream_read(s, p, part);
		str_grown(out, part);
		done += part;
	}
	stream_read(s, pad, wire_pad(n));
	for (size_t i = 0; i < sizeof(pad); i++)
		if (pad[i])
			fail(s, -ERR_PROTO);
}

struct slice stream_str(struct stream *s, struct arena *a, size_t max)
{
	uint64_t n = stream_u64(s);
	if (n > max || n > s->left)
		fail(s, -ERR_LIMIT);
	if (s->err)
		return SLICE("");
	if (s->left != SIZE_MAX)
		s->left -= (size_t)n;
	auto_str struct str body = STR_INIT;
	char *p = NULL;
	if (n <= IN_SIZE) { /* short ones go straight to the arena */
		p = arena_alloc(a, (size_t)n + 1);
		char pad[8] = { 0 };
		if (p)
			stream_read(s, p, (size_t)n);
		stream_read(s, pad, wire_pad(n));
		for (size_t i = 0; i < sizeof(pad); i++)
			if (pad[i])
				fail(s, -ERR_PROTO);
	} else {
		read_body(s, &body, (size_t)n);
		if (!s->err)
			p = arena_strn(a, body.buf, body.len);
	}
	if (!p)
		fail(s, -ENOMEM);
	if (s->err)
		return SLICE("");
	p[n] = 0;
	return (struct slice){ p, (size_t)n };
}

char *stream_cstr(struct stream *s, struct arena *a, size_t max)
{
	struct slice v = stream_str(s, a, max);
	if (v.n && memchr(v.p, 0, v.n)) {
		fail(s, -ERR_PROTO);
		v = SLICE("");
	}
	return (char *)(uintptr_t)v.p;
}

void stream_list(struct stream *s, struct arena *a, struct vec *ret)
{
	uint64_t n = stream_u64(s);
	if (n > PROTO_LIMIT_LIST)
		fail(s, -ERR_LIMIT);
	for (uint64_t i = 0; i < n && !s->err; i++) {
		/* An empty string costs memory too. */
		if (s->left != SIZE_MAX && s->left < 32)
			fail(s, -ERR_LIMIT);
		else if (s->left != SIZE_MAX)
			s->left -= 32;
		char *v = stream_cstr(s, a, PROTO_LIMIT_PATH);
		if (!s->err)
			vec_add(ret, v);
	}
	if (ret->err)
		fail(s, ret->err);
}

void stream_put_u64(struct stream *s, uint64_t v)
{
	wr_u64(&s->out, v);
}

void stream_put_str(struct stream *s, struct slice v)
{
	wr_str(&s->out, v);
}

void stream_put_cstr(struct stream *s, const char *v)
{
	wr_cstr(&s->out, v);
}

void stream_put_list(struct stream *s, const struct vec *v)
{
	wr_u64(&s->out, v->n);
	for (size_t i = 0; i < v->n; i++)
		wr_cstr(&s->out, v->v[i]);
}

static int send_all(struct stream *s, const char *p, size_t n)
{
	int flags = MSG_NOSIGNAL | (s->stall_ns || s->idle ? MSG_DONTWAIT : 0);
	while (n) {
		ssize_t sent = send(s->fd, p, n, flags);
		if (sent < 0 && errno == EAGAIN) {
			int r = wait_for(s, POLLOUT);
			if (r)
				return r;
			continue;
		}
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

int stream_flush(struct stream *s)
{
	if (!s->err && str_err(&s->out))
		fail(s, str_err(&s->out));
	if (!s->err && s->out.len) {
		int r = send_all(s, s->out.buf, s->out.len);
		if (r)
			fail(s, r);
	}
	if (s->out.cap > 4 * OUT_HIGH)
		str_done(&s->out);
	else
		str_cut(&s->out, 0);
	return s->err;
}

void stream_put_raw(struct stream *s, const void *p, size_t n)
{
	if (n >= OUT_HIGH) {
		stream_flush(s);
		int r = s->err ? 0 : send_all(s, p, n);
		if (r)
			fail(s, r);
		return;
	}
	str_addn(&s->out, p, n);
	if (s->out.len >= OUT_HIGH)
		stream_flush(s);
}

struct stream_nar {
	struct nar_source source;
	struct nar_sink sink;
	struct stream *s; /* borrowed */
};

static int stream_fail(struct stream *s, struct err *e)
{
	if (s->err == -ENODATA)
		return err_set(e, -ERR_PROTO, "the connection ended in the middle of a file");
	return err_num(e, s->err, "the connection failed in the middle of a file");
}

static int source_read(struct nar_source *src, void *p, size_t n, struct err *e)
{
	struct stream *s = CONTAINER_OF(src, struct stream_nar, source)->s;
	stream_read(s, p, n);
	return s->err ? stream_fail(s, e) : 0;
}

static int sink_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	struct stream *s = CONTAINER_OF(sink, struct stream_nar, sink)->s;
	stream_put_raw(s, p, n);
	return s->err ? stream_fail(s, e) : 0;
}

struct nar_source *stream_source(struct stream *s, struct arena *a)
{
	struct stream_nar *n = ARENA_NEW(a, struct stream_nar);
	if (!n)
		return NULL;
	n->s = s;
	n->source.read = source_read;
	return &n->source;
}

struct nar_sink *stream_sink(struct stream *s, struct arena *a)
{
	struct stream_nar *n = ARENA_NEW(a, struct stream_nar);
	if (!n)
		return NULL;
	n->s = s;
	n->sink.write = sink_write;
	return &n->sink;
}
