/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/remote/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "store/remote/client.h"

#define CHUNK 65536

struct direction {
	int from, to;
	bool shut; /* a socket, which is told of the end */
	bool ended;
	size_t at, n;
	char buf[CHUNK];
};

/* One step of what poll() said can be done. */
static int move(struct direction *d, bool readable, bool writable, struct err *e)
{
	if (d->at == d->n && readable) {
		ssize_t n = read(d->from, d->buf, sizeof(d->buf));
		if (n < 0 && errno != EINTR && errno != EAGAIN && errno != ECONNRESET)
			return err_sys(e, "cannot read");
		d->at = 0;
		d->n = n > 0 ? (size_t)n : 0;
		d->ended = n == 0 || (n < 0 && errno == ECONNRESET);
		if (d->ended && d->shut)
			(void)shutdown(d->to, SHUT_WR); /* gone: nobody to tell */
	} else if (d->at < d->n && writable) {
		ssize_t n = write(d->to, d->buf + d->at, d->n - d->at);
		if (n < 0 && errno == EPIPE)
			d->ended = true;
		else if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_sys(e, "cannot write");
		d->at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* Until the daemon has closed its end; what the client sends is of no use then. */
static int relay(int sock, struct err *e)
{
	struct direction *d = calloc(2, sizeof(*d));
	int r = 0;
	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d[0].from = STDIN_FILENO;
	d[0].to = d[1].from = sock;
	d[0].shut = true;
	d[1].to = STDOUT_FILENO;
	while (!r && !d[1].ended) {
		struct pollfd p[4];
		for (int i = 0; i < 2; i++) {
			bool full = d[i].at < d[i].n;
			p[2 * i] = (struct pollfd){ .fd = full || d[i].ended ? -1 : d[i].from,
						    .events = POLLIN };
			p[2 * i + 1] = (struct pollfd){ .fd = full && !d[i].ended ? d[i].to : -1,
							.events = POLLOUT };
		}
		if (poll(p, 4, -1) < 0 && errno != EINTR)
			r = err_sys(e, "cannot wait");
		for (int i = 0; !r && i < 2; i++)
			r = move(&d[i], p[2 * i].revents != 0, p[2 * i + 1].revents != 0, e);
	}
	free(d);
	return r;
}

static int serve_here(const struct serve_opts *o, int *ret_fd, pid_t *ret_pid, struct err *e)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot make a socket pair");
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		setsid();
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null >= 0) { /* the other side must see our end when we end */
			(void)dup2(null, STDIN_FILENO);
			(void)dup2(null, STDOUT_FILENO);
		}
		serve(pair[1], o);
		_exit(0);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_sys(e, "cannot fork");
	}
	*ret_fd = pair[0];
	*ret_pid = pid;
	return 0;
}

int stdio_serve(const struct serve_opts *o, const char *socket, struct err *e)
{
	auto_fd int fd = -1;
	pid_t pid = 0;
	int r;
	signal(SIGPIPE, SIG_IGN);
	r = client_connect(socket, &fd, NULL);
	if (r == -ENOENT || r == -ECONNREFUSED) /* no daemon, or one that has ended */
		r = serve_here(o, &fd, &pid, e);
	else if (r)
		err_num(e, r, "cannot connect to the build daemon at %s", socket);
	if (!r)
		r = relay(fd, e);
	fd_close(&fd);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	return r;
}
