/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/subst/httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "store/daemon/listen.h"

#define BACKLOG		 128
#define CONNECTIONS_MAX	 512
#define CONNECTIONS_HOST 64 /* of one address, for IPv6 of its /64 */
#define FIRST_FD	 3

struct peer {
	pid_t pid; /* 0: free */
	uint64_t client;
};

struct httpd {
	const struct httpd_opts *o;
	int sock, signals; /* owned */
	struct peer peers[CONNECTIONS_MAX];
	bool stop;
};

/* ---- The socket ------------------------------------------------------------------------------ */

static int try_listen(struct httpd *h, const struct addrinfo *ai)
{
	int one = 1, zero = 0;
	auto_fd int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* nice to have */
	if (ai->ai_family == AF_INET6 && !h->o->host) /* IPv4 comes to the same socket */
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	h->sock = fd_take(&fd);
	return 0;
}

static int open_socket(struct httpd *h, struct err *e)
{
	const char *host = h->o->host;
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	char port[24];
	int r;

	snprintf(port, sizeof(port), "%llu", (unsigned long long)h->o->port);
	hints.ai_family = host ? AF_UNSPEC : AF_INET6;
	r = getaddrinfo(host, port, &hints, &all);
	if (r)
		return err_set(e, -ERR_INVALID, "cannot listen at %s: %s",
			       host ? host : "any address", gai_strerror(r));
	r = -EADDRNOTAVAIL;
	for (const struct addrinfo *ai = all; ai && h->sock < 0; ai = ai->ai_next)
		r = try_listen(h, ai);
	freeaddrinfo(all);
	if (h->sock < 0 && !host) { /* no IPv6 here */
		struct sockaddr_in any = { .sin_family = AF_INET,
					   .sin_port = htons((uint16_t)h->o->port) };
		struct addrinfo ai = { .ai_family = AF_INET,
				       .ai_addr = (struct sockaddr *)&any,
				       .ai_addrlen = sizeof(any) };
		r = try_listen(h, &ai);
	}
	return h->sock < 0 ? err_num(e, r, "cannot listen at port %s", port) : 0;
}

static unsigned port_of(int sock)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);

	if (getsockname(sock, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
					      : ((struct sockaddr_in *)&sa)->sin_port);
}

static int become(const char *user, struct err *e)
{
	const struct passwd *pw;

	if (!user)
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return err_set(e, -ERR_NOTFOUND, "there is no user '%s'", user);
	if (geteuid() == pw->pw_uid)
		return 0;
	if (initgroups(user, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return err_sys(e, "cannot become the user %s", user);
	return 0;
}

/* ---- Connections ----------------------------------------------------------------------------- */

/* A free place, unless the client has its share. */
static struct peer *admit(struct httpd *h, uint64_t client)
{
	struct peer *free = NULL;
	size_t own = 0;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (!h->peers[i].pid)
			free = &h->peers[i];
		else
			own += h->peers[i].client == client;
	}
	return own < CONNECTIONS_HOST ? free : NULL;
}

/* Ends with the listener, however that ends. */
__attribute__((noreturn)) static void child(const struct httpd *h, int conn, pid_t parent)
{
	sigset_t none;
	int one = 1, fd = fcntl(conn, F_DUPFD_CLOEXEC, 100);

	if (fd < 0 || dup3(fd, FIRST_FD, O_CLOEXEC) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 ||
	    getppid() != parent)
		_exit(1);
	syscall(SYS_close_range, FIRST_FD + 1U, ~0U, 0U);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsockopt(FIRST_FD, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only speed */
	h->o->serve(h->o->arg, FIRST_FD);
	_exit(0);
}

static void accept_one(struct httpd *h)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	auto_fd int conn = accept4(h->sock, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);
	struct timespec pause = { 0, 100000000 };

	if (conn < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			nanosleep(&pause, NULL); /* until something is freed: do not spin */
		return;
	}
	uint64_t client = listen_client(&sa);
	struct peer *p = admit(h, client);
	pid_t parent = getpid(), pid = p ? fork() : -1;
	if (pid == 0)
		child(h, conn, parent);
	if (pid > 0)
		*p = (struct peer){ pid, client };
}

static void on_signal(struct httpd *h)
{
	struct signalfd_siginfo si;
	pid_t pid;

	while (read(h->signals, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD)
			h->stop = true;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (size_t i = 0; i < CONNECTIONS_MAX; i++)
			if (h->peers[i].pid == pid)
				h->peers[i].pid = 0;
}

static int open_signals(struct httpd *h, struct err *e)
{
	h->signals = proc_server_signals();
	return h->signals < 0 ? err_num(e, h->signals, "cannot make a signal descriptor") : 0;
}

int httpd_run(const struct httpd_opts *o, struct err *e)
{
	static struct httpd h; /* not on the stack for its size */
	int r;

	h = (struct httpd){ .o = o, .sock = -1, .signals = -1 };
	r = open_signals(&h, e);
	if (r == 0)
		r = open_socket(&h, e);
	if (r == 0)
		r = become(o->user, e);
	if (r == 0 && o->ready)
		o->ready(o->arg, port_of(h.sock));
	while (r == 0 && !h.stop) {
		struct pollfd p[] = { { .fd = h.signals, .events = POLLIN },
				      { .fd = h.sock, .events = POLLIN } };

		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			r = err_sys(e, "cannot wait for connections");
		else if (p[0].revents)
			on_signal(&h);
		else if (p[1].revents)
			accept_one(&h);
	}
	fd_close(&h.sock);
	fd_close(&h.signals);
	return r;
}
