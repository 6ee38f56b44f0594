/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "store/build/children.h"
#include "store/build/hosts.h"
#include "store/kernel.h"
#include "store/daemon/drain.h"
#include "store/daemon/listen.h"
#include "store/build/slots.h"

#define CONNECTIONS_MAX	 512
#define CONNECTIONS_USER 64 /* of one client other than root */
#define ROOT_RESERVE	 16
#define FIRST_FD	 3

struct listener {
	const struct daemon_opts *o;
	int fds[LISTEN_MAX]; /* owned */
	size_t n;
	int signals; /* owned */
	struct broker *broker;
	struct children children;
	bool stop;
};

/* ---- Start ----------------------------------------------------------------------------------- */

static void tell_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	if (!path || strlen(path) >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, strlen(path));
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (path[0] == '@')
		sa.sun_path[0] = 0;
	auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) /* who asked and does not listen cannot be helped */
		(void)sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&sa, len);
	unsetenv("NOTIFY_SOCKET");
}

/* ---- Connections ----------------------------------------------------------------------------- */

static bool admit(const struct listener *l, uint64_t client)
{
	if (children_paused(&l->children, client, loop_now()))
		return false;
	size_t all, own = broker_count(l->broker, client, &all);
	if (client == 0)
		return all < CONNECTIONS_MAX;
	return own < CONNECTIONS_USER && all < CONNECTIONS_MAX - ROOT_RESERVE;
}

/* Only the two sockets are kept: the child must not hold what belongs to other connections. */
static void child(struct listener *l, int conn, int slots, const struct ucred *peer)
{
	struct serve_opts o = l->o->serve;
	sigset_t none;
	int a = fcntl(conn, F_DUPFD_CLOEXEC, 100), b = fcntl(slots, F_DUPFD_CLOEXEC, 100);
	if (a < 0 || b < 0 || dup3(a, FIRST_FD, O_CLOEXEC) < 0 ||
	    dup3(b, FIRST_FD + 1, O_CLOEXEC) < 0)
		_exit(1);
	syscall(SYS_close_range, FIRST_FD + 2U, ~0U, 0U);
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	o.client_uid = peer->uid;
	o.client_gid = peer->gid;
	o.trusted = peer->uid == 0 || peer->uid == getuid();
	o.broker = FIRST_FD + 1;
	serve(FIRST_FD, &o);
	_exit(0);
}

/* Who is at the other end, as the kernel says; over TCP it cannot, and a connection that hangs is
 * found out by its own means. */
static bool identify(int conn, const struct sockaddr_storage *sa, struct ucred *ret,
		     uint64_t *ret_client)
{
	int one = 1;
	socklen_t len = sizeof(*ret);
	if (sa->ss_family == AF_UNIX) {
		bool known = getsockopt(conn, SOL_SOCKET, SO_PEERCRED, ret, &len) == 0;
		*ret_client = known ? ret->uid : 0;
		return known;
	}
	if (sa->ss_family != AF_INET && sa->ss_family != AF_INET6)
		return false;
	*ret = (struct ucred){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	*ret_client = listen_client(sa);
	return setsockopt(conn, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) == 0 &&
	       setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0;
}

static void accept_one(struct listener *l, int sock)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	auto_fd int conn = accept4(sock, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);
	if (conn < 0) {
		struct timespec pause = { 0, 100000000 };
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			nanosleep(&pause, NULL); /* until something is freed: do not spin */
		return;
	}
	struct ucred peer;
	uint64_t client;
	if (!identify(conn, &sa, &peer, &client) || !admit(l, client))
		return;
	int slots;
	if (broker_join(l->broker, client, &slots, NULL))
		return;
	pid_t pid = fork();
	if (pid == 0)
		child(l, conn, slots, &peer);
	if (pid > 0)
		children_add(&l->children, pid, client);
	close(slots); /* a failed fork ends the membership at once */
}

static void on_signal(struct listener *l)
{
	struct signalfd_siginfo si;
	while (read(l->signals, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD)
			l->stop = true;
	int status;
	uint64_t client;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		if (children_ended(&l->children, pid, status, loop_now(), &client))
			l->o->paused(client);
}

static int turn(struct listener *l, struct err *e)
{
	static struct pollfd p[1 + LISTEN_MAX + CONNECTIONS_MAX + 1];
	static int members[CONNECTIONS_MAX + 1];
	size_t n = 0;
	p[n++] = (struct pollfd){ .fd = l->signals, .events = POLLIN };
	for (size_t i = 0; i < l->n; i++)
		p[n++] = (struct pollfd){ .fd = l->fds[i], .events = POLLIN };
	size_t m = MIN_OF(broker_fds(l->broker, members, ARRAY_LEN(members)), ARRAY_LEN(members));
	for (size_t i = 0; i < m; i++)
		p[n++] = (struct pollfd){ .fd = members[i], .events = POLLIN };
	if (poll(p, n, -1) < 0)
		return errno == EINTR ? 0 : err_sys(e, "cannot wait for connections");
	if (p[0].revents)
		on_signal(l);
	for (size_t i = 1 + l->n; i < n; i++)
		if (p[i].revents)
			broker_event(l->broker, p[i].fd);
	for (size_t i = 1; i < 1 + l->n && !l->stop; i++)
		if (p[i].revents)
			accept_one(l, p[i].fd);
	return 0;
}

static int open_signals(struct listener *l, struct err *e)
{
	l->signals = proc_server_signals();
	return l->signals < 0 ? err_num(e, l->signals, "cannot make a signal descriptor") : 0;
}

/* Those that are open when the listener has gone. */
static int leave_connections(const struct listener *l, struct err *e)
{
	static pid_t pids[CONNECTIONS_MAX];
	size_t n = children_pids(&l->children, pids, ARRAY_LEN(pids));
	return n ? drain_begin(pids, n, l->o->drain_timeout, l->o->draining, e) : 0;
}

int daemon_run(const struct daemon_opts *o, struct err *e)
{
	struct listener l = { .o = o, .signals = -1 };
	uint64_t jobs = o->serve.max_jobs ? o->serve.max_jobs : serve_processors();
	/* The library of digests ends a process that cannot open what it looks at first: once,
	 * here, instead of in the middle of what a client wants. */
	(void)digest_of(DIGEST_SHA256, "", 0);
	int r = open_signals(&l, e);
	if (!r && broker_new((unsigned)jobs, &l.broker))
		r = err_set(e, -ENOMEM, "out of memory");
	if (!r)
		r = listen_open(o->listen, l.fds, &l.n, e);
	if (!r) {
		drain_own_group();
		hosts_share();
		tell_ready();
		if (o->ready)
			o->ready(o->arg);
	}
	while (!r && !l.stop)
		r = turn(&l, e);
	for (size_t i = 0; i < l.n; i++)
		fd_close(&l.fds[i]);
	fd_close(&l.signals);
	broker_free(l.broker);
	if (!r)
		r = leave_connections(&l, e);
	children_done(&l.children);
	return r;
}
