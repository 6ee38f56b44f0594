/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "init/inherit.h"
#include "init/ops.h"
#include "init/reap.h"
#include "init/state.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/text.h"

#define BATCH	   64		  /* messages a turn */
#define EXTEND_MAX 86400000000ull /* a day in microseconds: more is a mistake */

static struct loop_fd source = { .fd = -1 };
static int kept = -1; /* its descriptor */

static void take_line(struct svc *s, struct slice line)
{
	uint64_t pid;

	if (slice_is(line, "READY=1")) {
		svc_ready(&world.mgr, s);
	} else if (slice_is(line, "STOPPING=1")) {
		svc_leaves(&world.mgr, s);
	} else if (slice_is(line, "WATCHDOG=1")) {
		svc_alive(&world.mgr, s);
	} else if (slice_starts(line, "EXTEND_TIMEOUT_USEC=")) {
		if (text_u64((struct slice){ line.p + 20, line.n - 20 }, EXTEND_MAX, &pid) == 0)
			svc_extend(&world.mgr, s, pid * 1000);
	} else if (slice_starts(line, "MAINPID=")) {
		if (text_u64((struct slice){ line.p + 8, line.n - 8 }, 1 << 22, &pid) == 0)
			ops_set_main(s, (pid_t)pid);
	} else if (slice_starts(line, "STATUS=")) {
		size_t n = line.n - 7;
		if (n >= sizeof(s->status))
			n = sizeof(s->status) - 1;
		memcpy(s->status, line.p + 7, n);
		s->status[n] = '\0';
	}
}

/* false when no message is left. Descriptors that came along are closed. */
static bool take_message(int fd)
{
	char msg[LIMIT_NOTIFY_MSG];
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(16 * sizeof(int))];
	} c;
	struct iovec iov = { msg, sizeof(msg) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
	};
	struct ucred cred = { 0 };
	/* A crash in here finds it again. */
	ssize_t n = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(h), sizeof(cred));
		} else if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
			size_t fds = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			for (size_t i = 0; i < fds; i++) {
				int extra;
				memcpy(&extra, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
				fd_close(&extra);
			}
		}
	}
	struct svc *s = cred.pid > 0 && !(m.msg_flags & MSG_TRUNC) ? reap_owner(cred.pid) : NULL;
	struct slice rest = { msg, (size_t)n }, line;
	while (s && slice_cut(&rest, '\n', &line))
		take_line(s, line);
	if (s)
		state_commit_svc(s);
	(void)recv(fd, NULL, 0, MSG_DONTWAIT);
	return true;
}

static void on_notify(struct loop_fd *src, uint32_t events)
{
	for (int i = 0; i < BATCH && take_message(src->fd); i++)
		;
}

int notify_open(const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	bool came = state_keep(STATE_NOTIFY, &kept, sizeof(kept));
	int one = 1, fd = came ? inherit_take(kept, S_IFSOCK) : -1;

	source.fn = on_notify;
	if (fd >= 0)
		return loop_add(world.loop, &source, kept = fd, EPOLLIN);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	(void)unlink(path); /* of an earlier run */
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || chmod(path, 0666) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0) {
		int r = err_sys(e, "%s", path);
		fd_close(&fd);
		return r;
	}
	return loop_add(world.loop, &source, kept = fd, EPOLLIN);
}
