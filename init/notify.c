/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "init/inherit.h"
#include "init/listen.h"
#include "init/ops.h"
#include "init/reap.h"
#include "init/state.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/text.h"

#define BATCH	   64		  /* messages a turn */
#define EXTEND_MAX 86400000000ull /* a day in microseconds: more is a mistake */

static struct loop_fd source = { .fd = -1 };
static int kept = -1; /* its descriptor */

bool notify_next(struct slice *rest, struct notify_line *ret)
{
	static const struct {
		const char *key;
		enum notify_what what;
		uint64_t max; /* of the number after the key; 0: the key is all */
	} rows[] = {
		{ "READY=1", NOTIFY_READY, 0 },
		{ "STOPPING=1", NOTIFY_STOPPING, 0 },
		{ "WATCHDOG=1", NOTIFY_ALIVE, 0 },
		{ "EXTEND_TIMEOUT_USEC=", NOTIFY_EXTEND, EXTEND_MAX },
		{ "MAINPID=", NOTIFY_MAIN, 1 << 22 },
	};
	struct slice line;

	if (!slice_cut(rest, '\n', &line))
		return false;
	*ret = (struct notify_line){ NOTIFY_OTHER, 0, line };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].key);
		if (!slice_starts(line, rows[i].key))
			continue;
		struct slice value = { line.p + n, line.n - n };
		if (rows[i].max ? text_u64(value, rows[i].max, &ret->number) == 0 : value.n == 0)
			ret->what = rows[i].what;
	}
	if (slice_starts(line, "STATUS="))
		*ret = (struct notify_line){ NOTIFY_STATUS, 0, { line.p + 7, line.n - 7 } };
	return true;
}

static void take_line(struct svc *s, const struct notify_line *line)
{
	switch (line->what) {
	case NOTIFY_READY:
		svc_ready(&world.mgr, s);
		break;
	case NOTIFY_STOPPING:
		svc_leaves(&world.mgr, s);
		break;
	case NOTIFY_ALIVE:
		svc_alive(&world.mgr, s);
		break;
	case NOTIFY_EXTEND:
		svc_extend(&world.mgr, s, line->number * 1000);
		break;
	case NOTIFY_MAIN:
		ops_set_main(s, (pid_t)line->number);
		break;
	case NOTIFY_STATUS:
		snprintf(s->status, sizeof(s->status), "%.*s",
			 (int)MIN_OF(line->text.n, sizeof(s->status)), line->text.p);
		break;
	case NOTIFY_OTHER:
		break;
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
	struct slice rest = { msg, (size_t)n };
	struct notify_line line;
	while (s && notify_next(&rest, &line))
		take_line(s, &line);
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

int notify_listen(const char *path, struct err *e)
{
	const struct svc_listen l = { .kind = SVC_DGRAM, .address = path, .mode = 0666 };
	char why[120];
	int one = 1, fd = listen_open(&l, why, sizeof(why));

	if (fd < 0)
		return err_set(e, fd, "%s", why);
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	loop_del(&source);
	fd_close(&kept);
	return loop_add(world.loop, &source, kept = fd, EPOLLIN);
}

int notify_open(const char *path, struct err *e)
{
	bool came = state_keep(STATE_NOTIFY, &kept, sizeof(kept));
	int fd = came ? inherit_take(kept, S_IFSOCK) : -1;

	source.fn = on_notify;
	if (fd >= 0)
		return loop_add(world.loop, &source, kept = fd, EPOLLIN);
	kept = -1;
	return notify_listen(path, e);
}
