/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "lib/text.h"

#define HEADERS_MAX   64
#define SECOND	      1000000000ull
#define HEAD_SECONDS  10  /* from the first byte of a request to its last */
#define IDLE_SECONDS  60  /* between requests */
#define STALL_SECONDS 30  /* without a byte taken */
#define SLOW_SECONDS  60  /* after which … */
#define SLOW_RATE     256 /* … so many bytes a second are asked for */
#define SEND_PIECE    (256u << 10)

/* ---- Requests -------------------------------------------------------------------------------- */

size_t http_head_length(struct slice buf)
{
	const char *p = buf.n ? memmem(buf.p, buf.n, "\r\n\r\n", 4) : NULL;

	return p ? (size_t)(p - buf.p) + 4 : 0;
}

/* One line without its CRLF; false when none is left or a line ends otherwise. */
static bool cut_line(struct slice *rest, struct slice *ret)
{
	const char *p = rest->n ? memmem(rest->p, rest->n, "\r\n", 2) : NULL;
	size_t n = p ? (size_t)(p - rest->p) : 0;

	if (!p)
		return false;
	*ret = (struct slice){ rest->p, n };
	*rest = (struct slice){ p + 2, rest->n - n - 2 };
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)ret->p[i] < ' ' && ret->p[i] != '\t')
			return false;
	return true;
}

/* The path of a target: %XX decoded, the query cut off. */
static char *decode_target(struct arena *a, struct slice target)
{
	char *out = arena_alloc(a, target.n + 1);
	size_t n = 0;

	for (size_t i = 0; out && i < target.n && target.p[i] != '?'; i++) {
		uint8_t b = (uint8_t)target.p[i];

		if (b == '%') {
			if (target.n - i < 3 ||
			    text_unhex((struct slice){ target.p + i + 1, 2 }, &b, 1))
				return NULL;
			i += 2;
		}
		if (b <= ' ' || b >= 127)
			return NULL;
		out[n++] = (char)b;
	}
	return out;
}

static int parse_first(struct arena *a, struct slice line, struct http_request *q)
{
	struct slice method, target;

	if (!slice_cut(&line, ' ', &method) || !slice_cut(&line, ' ', &target) || !line.p)
		return 400;
	if (!slice_is(line, "HTTP/1.1") && !slice_is(line, "HTTP/1.0"))
		return slice_starts(line, "HTTP/") ? 505 : 400;
	q->old = slice_is(line, "HTTP/1.0");
	q->keep = !q->old;
	q->head = slice_is(method, "HEAD");
	if (!q->head && !slice_is(method, "GET"))
		return 405;
	q->path = target.n && target.p[0] == '/' ? decode_target(a, target) : NULL;
	return q->path ? 0 : 400;
}

static bool name_is(struct slice name, const char *text)
{
	return name.n == strlen(text) && !strncasecmp(name.p, text, name.n);
}

/* "bytes=FROM-"; any other range is answered with the whole, as is allowed. */
static void parse_range(struct slice v, struct http_request *q)
{
	if (!slice_starts(v, "bytes=") || v.p[v.n - 1] != '-')
		return;
	v = (struct slice){ v.p + 6, v.n - 7 };
	q->has_range = text_u64(v, INT64_MAX, &q->from) == 0;
}

static int parse_header(struct slice line, struct http_request *q)
{
	struct slice name, v = line;
	uint64_t n;

	if (!slice_cut(&v, ':', &name) || !v.p || !name.n || memchr(name.p, ' ', name.n) ||
	    memchr(name.p, '\t', name.n))
		return 400;
	v = slice_trim(v);
	if (name_is(name, "Transfer-Encoding"))
		return 501;
	if (name_is(name, "Content-Length"))
		return text_u64(v, INT64_MAX, &n) ? 400 : n ? 413 : 0;
	if (name_is(name, "Connection") && name_is(v, "close"))
		q->keep = false;
	if (name_is(name, "Range"))
		parse_range(v, q);
	return 0;
}

int http_parse(struct arena *a, struct slice head, struct http_request *ret)
{
	struct http_request q = { .path = NULL };
	struct slice line;
	size_t n = 0;
	int status = cut_line(&head, &line) ? parse_first(a, line, &q) : 400;

	while (!status) {
		if (!cut_line(&head, &line))
			return 400;
		if (!line.n)
			break;
		status = ++n > HEADERS_MAX ? 431 : parse_header(line, &q);
	}
	if (!status && head.n)
		status = 400;
	if (!status)
		*ret = q;
	return status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Some more bytes before the deadline. */
static int more(struct http_conn *c, uint64_t deadline)
{
	uint64_t now = loop_now();
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	char *room = str_room(&c->in, HTTP_HEAD_MAX);
	ssize_t n;

	if (!room)
		return -ENOMEM;
	if (now >= deadline || poll(&p, 1, (int)((deadline - now) / 1000000) + 1) <= 0)
		return -ETIMEDOUT;
	n = recv(c->fd, room, HTTP_HEAD_MAX - c->in.len, 0);
	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	str_grown(&c->in, (size_t)n);
	return 0;
}

bool http_ready(const struct http_conn *c, int ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return c->in.len || poll(&p, 1, ms) > 0;
}

int http_next(struct http_conn *c, struct arena *a)
{
	uint64_t deadline = loop_now() + (c->in.len ? HEAD_SECONDS : IDLE_SECONDS) * SECOND;
	size_t n;
	int r = c->err;

	c->req = (struct http_request){ .path = "" };
	while (r == 0 && !(n = http_head_length(str_slice(&c->in)))) {
		bool first = !c->in.len;

		if (c->in.len >= HTTP_HEAD_MAX)
			return 431;
		r = more(c, deadline);
		if (first)
			deadline = loop_now() + HEAD_SECONDS * SECOND;
	}
	if (r < 0)
		return r;
	r = http_parse(a, (struct slice){ c->in.buf, n }, &c->req);
	str_drop(&c->in, n);
	return r;
}

void http_conn_done(struct http_conn *c)
{
	str_done(&c->in);
}

/* ---- Answers --------------------------------------------------------------------------------- */

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} reasons[] = {
		{ 200, "OK" },
		{ 206, "Partial Content" },
		{ 400, "Bad Request" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 413, "Content Too Large" },
		{ 416, "Range Not Satisfiable" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Unknown";
}

/* Whether the reader may go on at its pace. */
static int check_pace(struct http_conn *c)
{
	uint64_t seconds = (loop_now() - c->started) / SECOND;

	return seconds > SLOW_SECONDS && c->sent / seconds < SLOW_RATE ? -ETIMEDOUT : 0;
}

static void wait_writable(struct http_conn *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	if (poll(&p, 1, STALL_SECONDS * 1000) <= 0 || (p.revents & (POLLERR | POLLHUP)))
		c->err = -ETIMEDOUT;
	else
		c->err = check_pace(c);
}

static void send_all(struct http_conn *c, const void *p, size_t n, bool more_follows)
{
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more_follows ? MSG_MORE : 0);

	while (n && !c->err) {
		ssize_t done = send(c->fd, p, n, flags);

		if (done < 0 && (errno == EAGAIN || errno == EINTR)) {
			wait_writable(c);
			continue;
		}
		if (done < 0) {
			c->err = -errno;
			return;
		}
		p = (const char *)p + done;
		n -= (size_t)done;
		c->sent += (size_t)done;
	}
}

bool http_start(struct http_conn *c, const struct http_answer *a)
{
	auto_str struct str head = STR_INIT;

	if (a->stream && c->req.old)
		c->req.keep = false; /* the end of the connection is that of the body */
	str_addf(&head, "HTTP/1.1 %d %s\r\nServer: cairn\r\nContent-Type: %s\r\n", a->status,
		 http_reason(a->status), a->type ? a->type : "text/plain");
	if (!a->stream)
		str_addf(&head, "Content-Length: %llu\r\n", (unsigned long long)a->length);
	else if (!c->req.old)
		str_add(&head, "Transfer-Encoding: chunked\r\n");
	if (!c->req.keep)
		str_add(&head, "Connection: close\r\n");
	str_add(&head, a->extra ? a->extra : "");
	str_add(&head, "\r\n");
	c->started = loop_now();
	c->sent = 0;
	if (str_err(&head))
		c->err = -ENOMEM;
	send_all(c, head.buf, head.len, !c->req.head && (a->stream || a->length));
	return !c->req.head && !c->err;
}

void http_text(struct http_conn *c, const struct http_answer *a, struct slice body)
{
	struct http_answer whole = *a;

	whole.length = body.n;
	if (http_start(c, &whole))
		send_all(c, body.p, body.n, false);
}

void http_file(struct http_conn *c, int fd, uint64_t length)
{
	(void)fd_set_nonblock(c->fd, true); /* else a stalled reader holds us for longer */
	while (length && !c->err) {
		ssize_t n = sendfile(c->fd, fd, NULL, (size_t)MIN_OF(length, (uint64_t)SEND_PIECE));

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			wait_writable(c);
			continue;
		}
		if (n <= 0) { /* a file that became shorter: the answer cannot be finished */
			c->err = n < 0 ? -errno : -EIO;
			return;
		}
		length -= (uint64_t)n;
		c->sent += (uint64_t)n;
	}
}

static int sink_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	struct http_sink *s = CONTAINER_OF(sink, struct http_sink, sink);
	char size[24];

	if (n && !s->c->req.old) {
		snprintf(size, sizeof(size), "%zx\r\n", n);
		send_all(s->c, size, strlen(size), true);
	}
	send_all(s->c, p, n, !s->c->req.old);
	if (n && !s->c->req.old)
		send_all(s->c, "\r\n", 2, false);
	return s->c->err ? err_num(e, s->c->err, "cannot send") : 0;
}

void http_sink_init(struct http_sink *s, struct http_conn *c)
{
	*s = (struct http_sink){ .sink = { sink_write }, .c = c };
}

void http_sink_end(struct http_sink *s)
{
	if (!s->c->req.old)
		send_all(s->c, "0\r\n\r\n", 5, false);
}
