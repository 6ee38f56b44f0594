/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "init/limits.h"
#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/wire.h"

#define SECOND	  1000000000ull
#define GIVE_UP	  (30 * SECOND) /* without a place to write: lose with a mark, not block for ever */
#define STAMP_LEN 25		/* "2026-01-31T23:59:59.123Z " */
#define CONTROL	  3
#define DRAIN_MAX 128 /* reads; more than a pipe holds */
#define MSG_MAX	  (LIMIT_PATH + 256)

struct stream {
	struct stream *next;
	char name[LIMIT_SVC_NAME + 1];
	char path[PATH_MAX];
	uint64_t size, keep;
	struct loop_fd src;	/* the pipe; fd owned */
	int pipe;		/* owned */
	int file;		/* owned; -1: not open */
	uint64_t length, since; /* of the file; when it first could not be opened */
	uint64_t lost;		/* bytes */
	bool in_line;
};

static struct logger {
	struct loop *loop;
	struct loop_fd control;
	struct loop_timer retry;
	struct stream *streams; /* owned */
	bool stop;
	time_t second; /* of the cached stamp */
	char stamp[64];
	char buf[16384];
} lg;

/* ---- files -----------------------------------------------------------------------------------*/

static void rotate(struct stream *s)
{
	char from[PATH_MAX + 8], to[PATH_MAX + 8];

	fd_close(&s->file);
	for (uint64_t i = s->keep; i > 0; i--) {
		if (i == 1)
			snprintf(from, sizeof(from), "%s", s->path);
		else
			snprintf(from, sizeof(from), "%s.%u", s->path, (unsigned)(i - 1));
		snprintf(to, sizeof(to), "%s.%u", s->path, (unsigned)i);
		(void)rename(from, to); /* missing ones at first */
	}
	if (s->keep == 0)
		(void)unlink(s->path);
}

static void make_directory(const char *path)
{
	char dir[PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return;
	*slash = '\0';
	(void)file_mkdir_p(AT_FDCWD, dir, 0755, NULL); /* open tells */
}

static bool open_file(struct stream *s)
{
	struct stat st;

	if (s->file >= 0)
		return true;
	s->file = open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (s->file < 0) {
		make_directory(s->path);
		s->file = open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	}
	if (s->file < 0) {
		if (!s->since)
			s->since = loop_now();
		return false;
	}
	s->since = 0;
	s->length = fstat(s->file, &st) == 0 ? (uint64_t)st.st_size : 0;
	return true;
}

static void put(struct stream *s, const char *p, size_t n)
{
	if (s->file < 0 || fd_write_full(s->file, p, n) < 0)
		s->lost += n;
	else
		s->length += n;
}

static const char *stamp(void)
{
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec != lg.second) {
		lg.second = ts.tv_sec;
		gmtime_r(&ts.tv_sec, &tm);
		snprintf(lg.stamp, sizeof(lg.stamp), "%04d-%02d-%02dT%02d:%02d:%02d.000Z ",
			 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			 tm.tm_sec);
	}
	unsigned ms = (unsigned)(ts.tv_nsec / 1000000);
	lg.stamp[20] = (char)('0' + ms / 100);
	lg.stamp[21] = (char)('0' + ms / 10 % 10);
	lg.stamp[22] = (char)('0' + ms % 10);
	return lg.stamp;
}

static void begin_line(struct stream *s)
{
	if (s->file >= 0 && s->size && s->length >= s->size) {
		rotate(s);
		open_file(s);
	}
	if (s->lost && s->file >= 0) {
		char text[96];
		uint64_t lost = s->lost;
		int n = snprintf(text, sizeof(text), "%s(%llu bytes lost here)\n", stamp(),
				 (unsigned long long)lost);
		s->lost = 0;
		put(s, text, (size_t)n);
		if (s->lost)
			s->lost += lost;
	}
	put(s, stamp(), STAMP_LEN);
	s->in_line = true;
}

static void write_lines(struct stream *s, const char *p, size_t n)
{
	while (n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t part = nl ? (size_t)(nl - p) + 1 : n;
		if (!s->in_line)
			begin_line(s);
		put(s, p, part);
		if (nl)
			s->in_line = false;
		p += part;
		n -= part;
	}
}

/* ---- streams ---------------------------------------------------------------------------------*/

static void close_stream(struct stream *s)
{
	if (s->in_line)
		put(s, "\n", 1);
	s->in_line = false;
	loop_del(&s->src);
	fd_close(&s->pipe);
	fd_close(&s->file);
}

/* false when there is nothing more to read now. */
static bool read_some(struct stream *s)
{
	ssize_t n;

	if (s->pipe < 0)
		return false;
	if (!open_file(s) && loop_now() - s->since < GIVE_UP && !lg.stop) {
		/* The writer waits, the next look is in a second. */
		loop_del(&s->src);
		if (!lg.retry.index)
			(void)loop_arm(lg.loop, &lg.retry, loop_now() + SECOND);
		return false;
	}
	n = fd_read_some(s->pipe, lg.buf, sizeof(lg.buf));
	if (n > 0)
		write_lines(s, lg.buf, (size_t)n);
	else if (n == 0)
		close_stream(s);
	return n > 0;
}

static void on_pipe(struct loop_fd *src, uint32_t events)
{
	(void)events;
	(void)read_some(src->arg); /* level-triggered: the rest comes again, others get a turn */
}

static void on_retry(struct loop_timer *t)
{
	(void)t;
	for (struct stream *s = lg.streams; s; s = s->next)
		if (s->pipe >= 0 && !s->src.loop)
			(void)loop_add(lg.loop, &s->src, s->pipe, EPOLLIN);
}

static struct stream *find_stream(struct slice name)
{
	for (struct stream *s = lg.streams; s; s = s->next)
		if (slice_is(name, s->name))
			return s;
	struct stream *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	snprintf(s->name, sizeof(s->name), "%.*s", (int)name.n, name.p);
	s->pipe = s->file = -1;
	s->src = (struct loop_fd){ .fd = -1, .fn = on_pipe, .arg = s };
	s->next = lg.streams;
	lg.streams = s;
	return s;
}

static void take_stream(const uint8_t *msg, size_t n, int fd)
{
	struct rd r = rd_of(msg, n);
	struct slice name = rd_str(&r, LIMIT_SVC_NAME), dir = rd_str(&r, LIMIT_PATH);
	uint64_t size = rd_u64(&r), keep = rd_max(&r, 99);
	struct stream *s = rd_done(&r) == 0 && fd >= 0 ? find_stream(name) : NULL;

	if (!s) {
		fd_close(&fd);
		return;
	}
	if (s->pipe >= 0) { /* the same pipe again, or a new one after the old is empty */
		fd_set_nonblock(s->pipe, true);
		for (int i = 0; i < DRAIN_MAX && read_some(s); i++)
			;
		loop_del(&s->src);
		fd_close(&s->pipe);
	}
	fd_close(&s->file);
	s->size = size;
	s->keep = keep;
	snprintf(s->path, sizeof(s->path), "%.*s/%s.log", (int)dir.n, dir.p, s->name);
	s->pipe = fd;
	fd_set_nonblock(fd, true);
	(void)loop_add(lg.loop, &s->src, fd, EPOLLIN);
}

/* The time of a timed service's last run, for the next boot. */
static void take_stamp(const uint8_t *msg, size_t n)
{
	struct rd r = rd_of(msg, n);
	struct slice path = rd_str(&r, LIMIT_PATH);
	uint64_t seconds = rd_u64(&r);
	char text[32], name[PATH_MAX];
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)seconds);

	if (rd_done(&r) < 0)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)path.n, path.p);
	make_directory(name);
	(void)file_write_atomic(AT_FDCWD, name, text, (size_t)len, 0644,
				NULL); /* the next one is */
}

static void on_control(struct loop_fd *src, uint32_t events)
{
	uint8_t msg[MSG_MAX];
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} c;
	struct iovec iov = { msg, sizeof(msg) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
	};
	int fd = -1;

	(void)events;
	ssize_t n = recvmsg(src->fd, &m, MSG_CMSG_CLOEXEC);
	if (n <= 0) {
		lg.stop = n == 0 || errno != EINTR;
		return;
	}
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	if (fd < 0)
		take_stamp(msg, (size_t)n);
	else
		take_stream(msg, (size_t)n, fd);
}

int logger_main(void)
{
	struct loop *l;
	int r = loop_new(2, &l);

	if (r < 0)
		return r;
	(void)signal(SIGTERM, SIG_IGN); /* ends when its socket does, after the last line */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)prctl(PR_SET_NAME, "cairn-logger");
	lg.loop = l;
	lg.retry.fn = on_retry;
	lg.control = (struct loop_fd){ .fd = -1, .fn = on_control };
	r = loop_add(l, &lg.control, CONTROL, EPOLLIN);
	if (r < 0)
		return r;
	while (!lg.stop)
		(void)loop_turn(l, UINT64_MAX);
	for (struct stream *s = lg.streams; s; s = s->next)
		for (int i = 0; i < DRAIN_MAX && read_some(s); i++)
			;
	for (struct stream *s = lg.streams; s; s = s->next)
		close_stream(s);
	return 0;
}

/* ---- the side of PID 1 -----------------------------------------------------------------------*/

int logger_stamp(int sock, const char *path, uint64_t seconds)
{
	auto_str struct str msg = STR_INIT;

	wr_cstr(&msg, path);
	wr_u64(&msg, seconds);
	if (str_err(&msg))
		return str_err(&msg);
	return send(sock, msg.buf, msg.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int logger_send(int sock, const struct log_stream *s, int read_end)
{
	auto_str struct str msg = STR_INIT;
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} c = { 0 };
	struct iovec iov;
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
	};

	wr_cstr(&msg, s->name);
	wr_cstr(&msg, s->directory);
	wr_u64(&msg, s->size);
	wr_u64(&msg, s->keep);
	if (str_err(&msg))
		return str_err(&msg);
	iov = (struct iovec){ msg.buf, msg.len };
	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	c.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&c.h), &read_end, sizeof(int));
	return sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
