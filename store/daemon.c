/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/fetch.h"
#include "store/kernel.h"
#include "store/slots.h"

#define SOCKETS_MAX	 16
#define BACKLOG		 64
#define CONNECTIONS_MAX	 512
#define CONNECTIONS_USER 64 /* of one user other than root */
#define ROOT_RESERVE	 16
#define FIRST_FD	 3

struct listener {
	const struct daemon_opts *o;
	int fds[SOCKETS_MAX]; /* owned */
	size_t n;
	int signals; /* owned */
	struct broker *broker;
	bool stop;
};

/* ---- Sockets --------------------------------------------------------------------------------- */

/* The directory of the socket, which nobody else may be able to change. */
static int open_dir(const char *path, int *ret, struct err *e)
{
	char dir[PATH_MAX];
	int r = path_dir(dir, path);
	if (r)
		return err_num(e, r, "%s", path);
	r = file_mkdir_p(AT_FDCWD, dir, 0755, e);
	if (r)
		return r;
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "cannot open the directory %s", dir);
	bool sticky = (st.st_mode & S_ISVTX) != 0;
	if ((st.st_mode & 022) && !sticky)
		return err_set(e, -ERR_INVALID, "the directory %s is writable by others", dir);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(e, -ERR_INVALID, "the directory %s belongs to somebody else", dir);
	*ret = fd_take(&fd);
	return 0;
}

/* Whether somebody listens there. */
static bool is_served(const struct sockaddr_un *sa)
{
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0;
}

static int listen_at(struct listener *l, const char *path, struct err *e)
{
	auto_fd int dir = -1;
	int r = open_dir(path, &dir, e);
	if (r)
		return r;
	/* By way of the directory's descriptor: the path may be longer than an address. */
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int n = snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s", dir,
			 path_base(path));
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return err_set(e, -ENAMETOOLONG, "the socket name %s is too long", path);
	if (is_served(&sa))
		return err_set(e, -ERR_IN_USE, "a daemon is listening at %s already", path);
	if (unlinkat(dir, path_base(path), 0) < 0 && errno != ENOENT)
		return err_sys(e, "cannot remove the old socket %s", path);
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, "cannot make a socket");
	mode_t old = umask(0111);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(old);
	if (!r && listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r)
		return err_num(e, r, "cannot listen at %s", path);
	l->fds[l->n++] = fd_take(&fd);
	return 0;
}

/* Descriptors given by the one who started us. */
static int take_given(struct listener *l, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t p, n;
	if (!pid || !fds || text_u64(slice_of(pid), INT32_MAX, &p) || (pid_t)p != getpid())
		return 0;
	if (text_u64(slice_of(fds), SOCKETS_MAX, &n) || n == 0)
		return err_set(e, -ERR_INVALID, "bad LISTEN_FDS=%s", fds);
	for (uint64_t i = 0; i < n; i++) {
		int fd = FIRST_FD + (int)i;
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_sys(e, "descriptor %d of LISTEN_FDS", fd);
		(void)fd_set_nonblock(fd, true); /* open, as was just seen */
		l->fds[l->n++] = fd;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}

static int open_sockets(struct listener *l, struct err *e)
{
	int r = take_given(l, e);
	if (r || l->n)
		return r;
	const struct vec *v = l->o->listen;
	if (v->n > SOCKETS_MAX)
		return err_set(e, -ERR_LIMIT, "at most %d sockets", SOCKETS_MAX);
	for (size_t i = 0; !r && i < v->n; i++)
		r = listen_at(l, v->v[i], e);
	return r;
}

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

static bool admit(const struct listener *l, uid_t uid)
{
	size_t all, own = broker_count(l->broker, uid, &all);
	if (uid == 0)
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

static void accept_one(struct listener *l, int sock)
{
	auto_fd int conn = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
	if (conn < 0) {
		struct timespec pause = { 0, 100000000 };
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			nanosleep(&pause, NULL); /* until something is freed: do not spin */
		return;
	}
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || !admit(l, peer.uid))
		return;
	int slots;
	if (broker_join(l->broker, peer.uid, &slots, NULL))
		return;
	pid_t pid = fork();
	if (pid == 0)
		child(l, conn, slots, &peer);
	close(slots); /* a failed fork ends the membership at once */
}

static void on_signal(struct listener *l)
{
	struct signalfd_siginfo si;
	while (read(l->signals, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD)
			l->stop = true;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static int turn(struct listener *l, struct err *e)
{
	static struct pollfd p[1 + SOCKETS_MAX + CONNECTIONS_MAX + 1];
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
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return l->signals < 0 ? err_sys(e, "cannot make a signal descriptor") : 0;
}

int daemon_run(const struct daemon_opts *o, struct err *e)
{
	struct listener l = { .o = o, .signals = -1 };
	uint64_t jobs = o->serve.max_jobs ? o->serve.max_jobs : serve_processors();
	int r = open_signals(&l, e);
	if (!r && broker_new((unsigned)jobs, &l.broker))
		r = err_set(e, -ENOMEM, "out of memory");
	if (!r)
		r = open_sockets(&l, e);
	if (!r) {
		fetch_hosts_share();
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
	return r;
}
