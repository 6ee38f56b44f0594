/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "init/fdstore.h"
#include "init/inherit.h"
#include "init/listen.h"
#include "init/ops.h"
#include "init/reap.h"
#include "init/state.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/text.h"

#define BATCH	    64 /* messages a turn */
#define PID_MAX	    (1 << 22)
#define MESSAGE_FDS 16
#define EXTEND_MAX  86400000000ull /* a day in microseconds: more is a mistake */

static struct loop_fd source = { .fd = -1 };
static int kept = -1; /* its descriptor */

bool notify_next(struct slice *rest, struct notify_line *ret)
{
	static const struct {
		char key[21];
		uint8_t what;
	} rows[] = {
		{ "READY=1", NOTIFY_READY },
		{ "STOPPING=1", NOTIFY_STOPPING },
		{ "RELOADING=1", NOTIFY_RELOADING },
		{ "WATCHDOG=1", NOTIFY_ALIVE },
		{ "FDSTORE=1", NOTIFY_STORE },
		{ "FDSTOREREMOVE=1", NOTIFY_REMOVE },
		{ "EXTEND_TIMEOUT_USEC=", NOTIFY_EXTEND },
		{ "MAINPID=", NOTIFY_MAIN },
		{ "FDNAME=", NOTIFY_NAME },
		{ "STATUS=", NOTIFY_STATUS },
	};
	struct slice line;

	if (!slice_cut(rest, '\n', &line))
		return false;
	*ret = (struct notify_line){ NOTIFY_OTHER, 0, line };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].key);
		enum notify_what what = rows[i].what;
		if (!slice_starts(line, rows[i].key))
			continue;
		struct slice value = { line.p + n, line.n - n };
		bool number = what == NOTIFY_EXTEND || what == NOTIFY_MAIN;
		if (what >= NOTIFY_NAME)
			ret->text = value;
		else if (number ? text_u64(value, what == NOTIFY_MAIN ? PID_MAX : EXTEND_MAX,
					   &ret->number) < 0
				: value.n > 0)
			continue;
		ret->what = what;
	}
	return true;
}

/* A message, and the descriptors that came along. */
struct message {
	unsigned said; /* bits of enum notify_what */
	struct slice name;
	int fds[MESSAGE_FDS];
	size_t nfds;
};

static void take_line(struct svc *s, const struct notify_line *line, struct message *m)
{
	m->said |= 1u << line->what;
	switch (line->what) {
	case NOTIFY_READY:
		if (strcmp(s->status, "RELOADING=1") == 0)
			s->status[0] = '\0';
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
	case NOTIFY_RELOADING:
	case NOTIFY_STATUS:
		snprintf(s->status, sizeof(s->status), "%.*s",
			 (int)MIN_OF(line->text.n, sizeof(s->status)), line->text.p);
		break;
	case NOTIFY_NAME:
		m->name = line->text;
		break;
	default: /* after the last line, or of no meaning here */
		break;
	}
}

static void take_lines(struct svc *s, struct slice rest, struct message *m)
{
	struct notify_line line;

	while (notify_next(&rest, &line))
		take_line(s, &line, m);
	if ((m->said & 1u << NOTIFY_REMOVE) && m->name.n)
		fdstore_remove(s, m->name);
	else if (m->said & 1u << NOTIFY_STORE)
		fdstore_put(s, m->fds, m->nfds, m->name);
	state_commit_svc(s);
}

/* false when no message is left. Descriptors that nobody keeps are closed. */
static bool take_message(int fd)
{
	char text[LIMIT_NOTIFY_MSG];
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(struct ucred)) +
			   CMSG_SPACE(MESSAGE_FDS * sizeof(int))];
	} c;
	struct iovec iov = { text, sizeof(text) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)
	};
	struct ucred cred = { 0 };
	struct message msg = { .nfds = 0 };
	/* A crash in here finds it again. */
	ssize_t n = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(h), sizeof(cred));
		} else if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
			msg.nfds = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(msg.fds, CMSG_DATA(h), msg.nfds * sizeof(int));
		}
	}
	struct svc *s = cred.pid > 0 && !(m.msg_flags & MSG_TRUNC) ? reap_owner(cred.pid) : NULL;
	if (s)
		take_lines(s, (struct slice){ text, (size_t)n }, &msg);
	for (size_t i = 0; i < msg.nfds; i++)
		fd_close(&msg.fds[i]);
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
