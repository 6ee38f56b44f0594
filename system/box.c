/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/box.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/confine.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/wire.h"

#define BOX_FD 3 /* the one descriptor of the child besides 0-2, which are closed */

/* In the child: give up everything but fd. Returns the step that failed in *ret_step. */
static int box_confine(int fd, uint64_t seconds, const char **ret_step)
{
	*ret_step = "moving the socket";
	if (fd != BOX_FD && dup3(fd, BOX_FD, O_CLOEXEC) < 0)
		return -errno;
	*ret_step = "closing descriptors";
	if (syscall(__NR_close_range, BOX_FD + 1, ~0U, 0) < 0)
		for (int i = BOX_FD + 1; i < 4096; i++)
			(void)close(i);
	for (int i = 0; i < BOX_FD; i++)
		(void)close(i);
	return confine_self(seconds, ret_step);
}

enum { BOX_FAILED = 1 }; /* message type of a failed set-up: step name; others start above */

static void __attribute__((noreturn))
box_child(int fd, uint64_t seconds, box_main_fn *fn, void *arg)
{
	const char *step = "";
	int r = box_confine(fd, seconds, &step);

	if (r < 0) {
		char msg[160];
		int n = snprintf(msg, sizeof(msg), "%s: %s", step, strerror(-r));
		(void)box_send(BOX_FD, BOX_FAILED, (struct slice){ msg, (size_t)n });
		_exit(70);
	}
	_exit(fn(BOX_FD, arg));
}

static uint64_t box_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int box_start(struct box *b, uint64_t seconds, box_main_fn *fn, void *arg, struct err *e)
{
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, "evaluator: socketpair");
	pid = fork();
	if (pid == 0)
		box_child(sv[1], seconds, fn, arg);
	if (pid < 0) {
		int r = err_sys(e, "evaluator: fork");
		fd_close(&sv[0]);
		fd_close(&sv[1]);
		return r;
	}
	fd_close(&sv[1]);
	b->fd = sv[0];
	b->proc.pid = pid;
	b->proc.pidfd = (int)syscall(__NR_pidfd_open, pid, 0);
	b->deadline = box_now() + seconds * 10 * 1000000000u;
	return 0;
}

void box_done(struct box *b)
{
	if (b->proc.pid > 0) {
		int status;
		/* The child is ours and not reaped yet, so the number cannot be another's. */
		(void)kill(b->proc.pid, SIGKILL);
		while (waitpid(b->proc.pid, &status, 0) < 0 && errno == EINTR)
			;
		b->proc.pid = -1;
	}
	fd_close(&b->proc.pidfd);
	fd_close(&b->fd);
}

int box_send(int fd, uint64_t type, struct slice body)
{
	uint8_t head[16];
	int r;

	for (int i = 0; i < 8; i++) {
		head[i] = (uint8_t)(type >> (8 * i));
		head[8 + i] = (uint8_t)(body.n >> (8 * i));
	}
	r = fd_write_full(fd, head, sizeof(head));
	return r < 0 ? r : fd_write_full(fd, body.p, body.n);
}

int box_reply(const struct box *b, uint64_t type, struct slice body)
{
	auto_str struct str msg = STR_INIT;
	size_t done = 0;

	wr_u64(&msg, type);
	wr_u64(&msg, body.n);
	str_adds(&msg, body);
	if (str_err(&msg))
		return str_err(&msg);
	while (done < msg.len) {
		ssize_t n = send(b->fd, msg.buf + done, msg.len - done, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int box_recv(int fd, uint64_t *ret_type, struct str *out, size_t limit)
{
	uint8_t head[16];
	struct rd rd;
	uint64_t type, n;
	char *p;
	int r = fd_read_full(fd, head, sizeof(head));

	if (r < 0)
		return r;
	rd = rd_of(head, sizeof(head));
	type = rd_u64(&rd);
	n = rd_u64(&rd);
	if (n > limit)
		return -ERR_LIMIT;
	str_cut(out, 0);
	p = str_room(out, n);
	if (!p)
		return -ENOMEM;
	r = fd_read_full(fd, p, n);
	if (r < 0)
		return r;
	str_grown(out, n);
	*ret_type = type;
	return 0;
}

/* The child closed its end: say how it ended. */
static int box_ended(struct box *b, struct err *e)
{
	char text[64];
	int status;

	while (waitpid(b->proc.pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, "evaluator: wait");
	b->proc.pid = -1;
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
		return err_set(e, -ERR_LIMIT, "evaluation: limit of processor time exceeded");
	proc_status_text(status, text);
	return err_set(e, -ERR_EVAL, "evaluation: the evaluator ended with %s", text);
}

/* Wait until the socket has something; the deadline bounds the whole evaluation. */
static int box_poll(struct box *b, struct err *e)
{
	for (;;) {
		struct pollfd p = { b->fd, POLLIN, 0 };
		uint64_t now = box_now();
		int n;

		if (now >= b->deadline)
			return err_set(e, -ERR_LIMIT, "evaluation: limit of time exceeded");
		n = poll(&p, 1, (int)MIN_OF((b->deadline - now) / 1000000u + 1, 60000u));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_sys(e, "evaluator: poll");
	}
}

int box_wait(struct box *b, uint64_t *ret_type, struct str *out, size_t limit, struct err *e)
{
	int r = box_poll(b, e);

	if (r < 0)
		return r;
	r = box_recv(b->fd, ret_type, out, limit);
	if (r == -ENODATA || r == -ECONNRESET || r == -EPIPE)
		return box_ended(b, e);
	if (r == -ERR_LIMIT)
		return err_set(e, r, "evaluation: the result is larger than %zu bytes", limit);
	if (r < 0)
		return err_num(e, r, "evaluator: read");
	if (*ret_type == BOX_FAILED)
		return err_set(e, -ERR_SANDBOX, "evaluator: cannot confine itself: %s", out->buf);
	return 0;
}
