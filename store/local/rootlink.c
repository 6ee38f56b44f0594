/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/rootlink.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "store/kernel.h"

#define FIRST_FD 3

struct answer {
	int code;
	char target[PATH_MAX]; /* without a NUL */
};

/* ---- The reader ------------------------------------------------------------------------------ */

static int become(uid_t uid, gid_t gid)
{
	if (uid == (uid_t)-1 || geteuid() != 0)
		return 0;
	return setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
			       setresuid(uid, uid, uid) < 0
		       ? -1
		       : 0;
}

/* It may hang for ever where it cannot even be killed: so it keeps no lock and no connection. */
__attribute__((noreturn)) static void reader_main(const struct rootlink *r, int sock, pid_t parent)
{
	static struct answer a;
	char path[PATH_MAX];
	ssize_t n;

	if (dup2(sock, FIRST_FD) < 0)
		_exit(1);
	syscall(SYS_close_range, FIRST_FD + 1U, ~0U, 0U);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || become(r->uid, r->gid) < 0)
		_exit(1);
	while ((n = recv(FIRST_FD, path, sizeof(path), 0)) > 0) {
		auto_str struct str target = STR_INIT;

		a.code = file_readlink(AT_FDCWD, path, &target, NULL);
		if (a.code == 0 && target.len > sizeof(a.target))
			a.code = -ENAMETOOLONG;
		if (a.code == 0)
			memcpy(a.target, target.buf, target.len);
		n = (ssize_t)(sizeof(a.code) + (a.code ? 0 : target.len));
		if (send(FIRST_FD, &a, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	}
	_exit(0);
}

/* ---- Ours ------------------------------------------------------------------------------------ */

static int start(struct rootlink *r)
{
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r->reader.pid = kernel_fork(0, &r->reader.pidfd);
	if (r->reader.pid == 0)
		reader_main(r, pair[1], parent);
	int code = r->reader.pid < 0 ? -errno : 0;
	fd_close(&pair[1]);
	if (code)
		fd_close(&pair[0]);
	r->sock = pair[0];
	return code;
}

/* Not waited for: it may end when its file system does. */
static void give_up(struct rootlink *r)
{
	(void)proc_kill(&r->reader, SIGKILL);
	fd_close(&r->reader.pidfd);
	fd_close(&r->sock);
}

static int wait_answer(struct rootlink *r)
{
	uint64_t deadline = loop_now() + ROOTLINK_SECONDS * 1000000000ull, now;
	struct pollfd p = { .fd = r->sock, .events = POLLIN };

	while ((now = loop_now()) < deadline) {
		int n = poll(&p, 1, (int)((deadline - now) / 1000000) + 1);

		if (n > 0 || (n < 0 && errno != EINTR))
			return n < 0 ? -errno : 0;
	}
	return -ETIMEDOUT;
}

int rootlink_read(struct rootlink *r, const char *path, struct str *out)
{
	static struct answer a;
	size_t len = strlen(path) + 1;
	ssize_t n = 0;
	int code = len > PATH_MAX ? -ENAMETOOLONG : r->sock < 0 ? start(r) : 0;

	if (code < 0)
		return code;
	code = send(r->sock, path, len, MSG_NOSIGNAL) == (ssize_t)len ? wait_answer(r) : -EPIPE;
	if (code == 0)
		n = recv(r->sock, &a, sizeof(a), MSG_DONTWAIT);
	if (code == 0 && n < (ssize_t)sizeof(a.code))
		code = -EPIPE;
	if (code < 0) {
		give_up(r);
		return code;
	}
	if (a.code == 0)
		str_addn(out, a.target, (size_t)n - sizeof(a.code));
	return a.code ? a.code : str_err(out);
}

void rootlink_done(struct rootlink *r)
{
	if (r->sock < 0)
		return;
	fd_close(&r->sock);
	proc_end(&r->reader); /* it waits for a path: nothing holds it up */
}
