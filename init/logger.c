/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "init/def.h"
#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/text.h"
#include "lib/wire.h"

#define SECOND	  1000000000ull
#define GIVE_UP	  (30 * SECOND) /* without a place to write: lose with a mark, not block for ever */
#define DRAIN_MAX 256		/* reads; more than a pipe holds */
#define MSG_MAX	  (LIMIT_PATH + 256)

struct stream;
typedef bool read_fn(struct stream *s);

struct stream {
	struct stream *next;
	struct log_file file;
	struct loop_fd src;
	int fd; /* owned; -1: none now */
	read_fn *read;
	uint64_t hash;		/* of its name */
	uint64_t second, taken; /* bytes in that second */
};

static struct logger {
	struct loop *loop;
	struct loop_fd control;
	struct loop_timer retry;
	struct stream *streams; /* owned */
	int kernel;		/* /dev/kmsg; -1: none */
	uint64_t since;		/* when this logger began */
	bool stop;
	bool closed; /* some stream is */
} lg;

/* ---- what the journal holds ------------------------------------------------------------------*/

SMALL static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void hold(struct stream *s, size_t n)
{
	journal->n = (uint32_t)n;
	journal->from = 0;
	journal_phase(LOG_HELD);
	s->taken += n;
	log_write(&s->file);
}

/* The queue, which holds so many bytes, is emptied into data. */
static void read_queue(ssize_t left)
{
	if (journal->phase == LOG_TAKING) {
		journal->n = (uint32_t)left;
		journal_phase(LOG_READING);
	}
	if (left > 0 && (uint32_t)left <= journal->n)
		(void)fd_read_some(LOGGER_QUEUE, journal->data + journal->n - left, (size_t)left);
}

/* "FACILITY.PRIORITY TEXT", with escapes for what would move a cursor or look like another line. */
static size_t format_message(size_t at, uint64_t priority, struct slice text)
{
	static const char facilities[] =
		"kern\0user\0mail\0daemon\0auth\0syslog\0lpr\0news\0uucp\0cron\0"
		"authpriv\0ftp\0ntp\0audit\0alert\0clock\0local0\0local1\0"
		"local2\0local3\0local4\0local5\0local6\0local7";
	static const char priorities[] = "emerg\0alert\0crit\0err\0warning\0notice\0info\0debug";
	static const char digits[] = "0123456789abcdef";
	const char *facility = facilities, *level = priorities;
	char *out = journal->data;

	for (uint64_t i = priority >> 3; i > 0 && i < 24; i--)
		facility += strlen(facility) + 1;
	for (uint64_t i = priority & 7; i > 0; i--)
		level += strlen(level) + 1;
	at += (size_t)snprintf(out + at, 64, "%s.%s ", facility, level);
	for (; text.n && at < LOG_CHUNK - 16; text.p++, text.n--) {
		unsigned char c = (unsigned char)*text.p;
		if ((c >= ' ' && c != 0x7f) || c == '\t') {
			out[at++] = (char)c;
		} else {
			out[at++] = '\\';
			out[at++] = 'x';
			out[at++] = digits[c >> 4];
			out[at++] = digits[c & 15];
		}
	}
	return at + (size_t)snprintf(out + at, 16, "%s\n", text.n ? " (cut)" : "");
}

/* ---- streams ---------------------------------------------------------------------------------*/

SMALL static void close_stream(struct stream *s)
{
	log_close(&s->file);
	loop_del(&s->src);
	fd_close(&s->fd);
	lg.closed = true;
}

/* Services that are gone do not come back under the same names for ever. */
static void forget_closed(void)
{
	struct stream **at = &lg.streams, *s;

	while ((s = *at)) {
		if (s->fd >= 0 || s->file.lost) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		fd_close(&s->file.fd);
		free(s);
	}
	lg.closed = false;
}

/* The next look is in a second. */
static void pause_stream(struct stream *s)
{
	loop_del(&s->src);
	if (!lg.retry.index)
		(void)loop_arm(lg.loop, &lg.retry, loop_now() + SECOND);
}

static void on_retry(struct loop_timer *t)
{
	(void)t;
	for (struct stream *s = lg.streams; s; s = s->next)
		if (s->fd >= 0 && !s->src.loop)
			(void)loop_add(lg.loop, &s->src, s->fd, EPOLLIN);
}

/* Did more come in this second than may? */
static bool is_fast(struct stream *s)
{
	uint64_t second = loop_now() / SECOND;

	if (s->second != second) {
		s->second = second;
		s->taken = 0;
	}
	return s->file.conf.limits.rate && s->taken >= s->file.conf.limits.rate;
}

/* A file that cannot be opened may yet be: its writer waits, for a time. */
static bool may_take(struct stream *s)
{
	if (s->fd < 0)
		return false;
	if (!log_open(&s->file) && loop_now() - s->file.since < GIVE_UP && !lg.stop) {
		pause_stream(s);
		return false;
	}
	journal->conf = s->file.conf;
	journal->when = clock_us(CLOCK_REALTIME) / 1000;
	return true;
}

/* All of these: false when there is nothing more now. A service that is too fast waits. */
static bool read_pipe(struct stream *s)
{
	if (is_fast(s) && !lg.stop) {
		s->file.slow = true;
		pause_stream(s);
		return false;
	}
	if (!may_take(s))
		return false;
	journal_phase(LOG_TAKING);
	ssize_t n = splice(s->fd, NULL, LOGGER_QUEUE_END, NULL, LOG_CHUNK, SPLICE_F_NONBLOCK);
	if (n > 0) {
		read_queue(n);
		hold(s, journal->n);
		return true;
	}
	journal_phase(LOG_IDLE);
	if (n == 0)
		close_stream(s);
	return false;
}

static void hold_message(struct stream *s)
{
	struct slice text = slice_of(journal->raw), number;
	uint64_t priority = 13; /* user.notice */

	if (slice_starts(text, "<") && slice_cut(&text, '>', &number) && text.p) {
		number.p++;
		number.n--;
		(void)text_u64(number, 191, &priority);
	} else {
		text = slice_of(journal->raw);
	}
	/* "Jan 31 23:59:59 ": the line has a better one */
	if (text.n > 16 && text.p[3] == ' ' && text.p[6] == ' ' && text.p[9] == ':' &&
	    text.p[12] == ':' && text.p[15] == ' ') {
		text.p += 16;
		text.n -= 16;
	}
	hold(s, format_message(0, priority, slice_trim(text)));
}

/* Who sends too much must not make others wait, so it is lost. */
static bool read_syslog(struct stream *s)
{
	if (!may_take(s))
		return false;
	memset(journal->raw, 0, LOG_RAW);
	journal_phase(LOG_RECEIVING);
	ssize_t n = recv(s->fd, journal->raw, LOG_RAW - 1, MSG_DONTWAIT);
	if (n > 0 && journal->raw[0] && !is_fast(s)) {
		hold_message(s);
		return true;
	}
	if (n > 0)
		s->file.lost += (size_t)n;
	journal_phase(LOG_IDLE);
	return n >= 0;
}

/* "PRIORITY,NUMBER,MICROSECONDS,…;TEXT\n KEY=VALUE…" */
static bool read_kernel(struct stream *s)
{
	uint64_t v[3] = { 0 };
	struct slice text, line, field;
	size_t at = 0;

	/* It has hundreds of lines when the system starts, and keeps them: services come first. */
	if (loop_now() - lg.since < SECOND && !lg.stop) {
		pause_stream(s);
		return false;
	}
	if (!may_take(s))
		return false;
	ssize_t n = fd_read_some(s->fd, journal->raw, LOG_RAW);
	if (n <= 0) {
		if (n != -EPIPE && n != -EAGAIN)
			loop_del(&s->src);
		return n == -EPIPE; /* some were lost: numbers tell */
	}
	text = (struct slice){ journal->raw, (size_t)n };
	slice_cut(&text, ';', &line);
	for (int i = 0; i < 3; i++)
		if (!slice_cut(&line, ',', &field) || text_u64(field, UINT64_MAX, &v[i]) < 0)
			return true;
	slice_cut(&text, '\n', &line);
	if (v[1] < journal->kernel_next)
		return true;
	journal->kernel_after = v[1] + 1;
	if (v[0] >> 3 == 1 && slice_starts(line, "cairn-init: ")) {
		journal->kernel_next = v[1] + 1; /* PID 1 has a log of its own */
		return true;
	}
	if (journal->kernel_next && v[1] > journal->kernel_next)
		at = (size_t)snprintf(journal->data, 64, "(%llu messages lost here)\n",
				      (unsigned long long)(v[1] - journal->kernel_next));
	journal->when -= (clock_us(CLOCK_MONOTONIC) - v[2]) / 1000;
	hold(s, format_message(at, v[0], line));
	return true;
}

/* Level-triggered: the rest comes again, others get a turn. */
static void on_source(struct loop_fd *src, uint32_t events)
{
	struct stream *s = src->arg;

	(void)events;
	(void)s->read(s);
}

static void drain(struct stream *s)
{
	for (int i = 0; i < DRAIN_MAX && s->read(s); i++)
		;
}

static struct stream *get_stream(struct slice name)
{
	uint64_t hash = svc_hash(0, name.p, name.n);

	for (struct stream *s = lg.streams; s; s = s->next)
		if (s->hash == hash && slice_is(name, s->file.conf.name))
			return s;
	struct stream *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->hash = hash;
	snprintf(s->file.conf.name, sizeof(s->file.conf.name), "%.*s", (int)name.n, name.p);
	s->fd = s->file.fd = -1;
	s->src = (struct loop_fd){ .fd = -1, .fn = on_source, .arg = s };
	s->read = read_pipe;
	s->next = lg.streams;
	lg.streams = s;
	return s;
}

SMALL static void set_source(struct stream *s, int fd, read_fn *fn)
{
	loop_del(&s->src);
	s->fd = fd;
	s->read = fn;
	(void)loop_add(lg.loop, &s->src, fd, EPOLLIN);
}

/* The system's own, with the settings of PID 1's. */
static void open_own(const char *name, const struct log_limits *limits, int fd, read_fn *fn)
{
	struct stream *s = get_stream(slice_of(name));

	if (!s)
		return;
	s->file.conf.limits = *limits;
	if (s->fd < 0 && fd >= 0)
		set_source(s, fd, fn);
}

SMALL static void take_stream(const uint8_t *msg, size_t n, int fd)
{
	struct rd r = rd_of(msg, n);
	struct slice name = rd_str(&r, LIMIT_SVC_NAME), dir = rd_str(&r, LIMIT_PATH);
	struct log_limits limits;

	limits.size = rd_u64(&r);
	limits.keep = rd_u64(&r);
	limits.rate = rd_u64(&r);
	uint64_t boots = rd_u64(&r);
	struct stream *s = rd_done(&r) == 0 && fd >= 0 ? get_stream(name) : NULL;

	if (!s) {
		fd_close(&fd);
		return;
	}
	if (s->fd >= 0) { /* the same pipe again, or a new one after the old is empty */
		drain(s);
		loop_del(&s->src);
		fd_close(&s->fd);
	}
	fd_close(&s->file.fd);
	log_directory(dir.p, dir.n, boots);
	s->file.conf.limits = limits;
	set_source(s, fd, read_pipe);
	if (!slice_is(name, LOG_INIT))
		return;
	open_own(LOG_SYSLOG, &limits, LOGGER_SYSLOG, read_syslog); /* or it is closed: no source */
	open_own(LOG_KERNEL, &limits, lg.kernel, read_kernel);
}

/* ---- control ---------------------------------------------------------------------------------*/

static void make_directory(const char *path)
{
	char dir[PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return;
	*slash = '\0';
	(void)file_mkdir_p(AT_FDCWD, dir, 0755, NULL); /* the write tells */
}

/* The time of a timed service's last run, for the next boot. */
static void take_stamp(const uint8_t *msg, size_t n)
{
	struct rd r = rd_of(msg, n);
	struct slice path = rd_str(&r, LIMIT_PATH);
	uint64_t seconds = rd_u64(&r);
	char text[32], name[PATH_MAX], temp[PATH_MAX];
	int len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)seconds);

	if (rd_done(&r) < 0)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)path.n, path.p);
	snprintf(temp, sizeof(temp), "%.*s.new", (int)path.n, path.p);
	make_directory(name);
	auto_fd int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd >= 0 && fd_write_full(fd, text, (size_t)len) == 0 && fsync(fd) == 0)
		(void)rename(temp, name); /* one that fails is followed by that of the next run */
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

/* What the logger before had taken and not written. */
static void go_on(void)
{
	struct stream *s =
		journal->phase == LOG_IDLE ? NULL : get_stream(slice_of(journal->conf.name));
	int left = 0;

	if (!s)
		return;
	s->file.conf = journal->conf;
	switch (journal->phase) {
	case LOG_TAKING:
	case LOG_READING:
		/* Nobody else reads it, so what is left tells what is done. */
		(void)ioctl(LOGGER_QUEUE, FIONREAD, &left);
		read_queue(left);
		hold(s, journal->n);
		break;
	case LOG_RECEIVING:
		if (journal->raw[0])
			hold_message(s);
		else
			journal_phase(LOG_IDLE);
		break;
	default:
		log_write(&s->file);
		break;
	}
}

int logger_main(void)
{
	struct loop *l;
	int r = loop_new(2, &l);

	if (r < 0)
		return r;
	for (int sig = SIGHUP; sig <= SIGTERM;
	     sig++) /* ends when its socket does, after the last line */
		(void)signal(sig, SIG_IGN);
	(void)prctl(PR_SET_NAME, "cairn-logger");
	journal = mmap(NULL, LOGGER_JOURNAL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       LOGGER_JOURNAL, 0);
	if (journal == MAP_FAILED)
		return -errno;
	go_on();
	lg.loop = l;
	lg.since = loop_now();
	lg.kernel = getppid() == 1 ? open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	lg.retry.fn = on_retry;
	lg.control = (struct loop_fd){ .fd = -1, .fn = on_control };
	r = loop_add(l, &lg.control, LOGGER_CONTROL, EPOLLIN);
	if (r < 0)
		return r;
	while (!lg.stop) {
		(void)loop_turn(l, UINT64_MAX);
		if (lg.closed)
			forget_closed();
	}
	for (struct stream *s = lg.streams; s; s = s->next)
		drain(s);
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
	wr_u64(&msg, s->rate);
	wr_u64(&msg, s->boots);
	if (str_err(&msg))
		return str_err(&msg);
	iov = (struct iovec){ msg.buf, msg.len };
	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	c.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&c.h), &read_end, sizeof(int));
	return sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
