/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "init/user.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"

#define BACKLOG 128

union address {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* "1.2.3.4:80" or "[::]:80" */
static int parse_inet(const char *text, union address *a, socklen_t *ret_len)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	uint64_t port;

	if (!colon || text_u64(slice_of(colon + 1), 65535, &port) < 0 || n >= sizeof(host))
		return -EINVAL;
	bool six = n >= 2 && text[0] == '[' && text[n - 1] == ']';
	snprintf(host, sizeof(host), "%.*s", (int)(six ? n - 2 : n), text + (six ? 1 : 0));
	memset(a, 0, sizeof(*a));
	if (six) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons((uint16_t)port);
		*ret_len = sizeof(a->in6);
		return inet_pton(AF_INET6, host, &a->in6.sin6_addr) == 1 ? 0 : -EINVAL;
	}
	a->in.sin_family = AF_INET;
	a->in.sin_port = htons((uint16_t)port);
	*ret_len = sizeof(a->in);
	return inet_pton(AF_INET, host, &a->in.sin_addr) == 1 ? 0 : -EINVAL;
}

static int parse_path(const char *path, union address *a, socklen_t *ret_len)
{
	char dir[PATH_MAX];
	size_t n = strlen(path);
	int r = path_dir(dir, path);

	if (r == 0)
		r = file_mkdir_p(AT_FDCWD, dir, 0755, NULL);
	if (r < 0)
		return r;
	memset(a, 0, sizeof(*a));
	if (n >= sizeof(a->un.sun_path))
		return -ENAMETOOLONG;
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, path, n + 1);
	*ret_len = sizeof(a->un);
	if (unlink(path) < 0 && errno != ENOENT) /* a socket nobody holds any more */
		return -errno;
	return 0;
}

/* Whoever owns the directory may put something else in the place of the socket: what is given away
 * is a socket that has no other name, or nothing. */
static int give(const char *path, uid_t uid, gid_t gid)
{
	auto_fd int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat sb;

	if (fd < 0 || fstat(fd, &sb) < 0)
		return -errno;
	if (!S_ISSOCK(sb.st_mode) || sb.st_nlink != 1)
		return -EEXIST;
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_owner(const struct svc_listen *l)
{
	struct user u = { 0 };
	gid_t gid = 0;
	int r = l->user ? user_find(l->user, &u) : 0;

	if (r == 0)
		gid = u.gid;
	if (r == 0 && l->group)
		r = user_group_find(l->group, &gid);
	return r == 0 && (l->user || l->group) ? give(l->address, u.uid, gid) : r;
}

/* It has the mode from its first moment: what is bound has 0777 but for the mask. */
static int bind_with_mode(int fd, const union address *a, socklen_t len, mode_t mode)
{
	mode_t mask = umask(~mode & 0777);
	int r = bind(fd, &a->any, len) < 0 ? -errno : 0;

	(void)umask(mask);
	return r;
}

static int open_bound(const struct svc_listen *l)
{
	static const int types[] = { [SVC_STREAM] = SOCK_STREAM,
				     [SVC_DGRAM] = SOCK_DGRAM,
				     [SVC_SEQPACKET] = SOCK_SEQPACKET,
				     [SVC_TCP] = SOCK_STREAM,
				     [SVC_UDP] = SOCK_DGRAM };
	bool inet = l->kind == SVC_TCP || l->kind == SVC_UDP;
	union address a;
	socklen_t len = 0;
	int one = 1;
	int r = inet ? parse_inet(l->address, &a, &len) : parse_path(l->address, &a, &len);
	if (r < 0)
		return r;

	auto_fd int fd = socket(a.any.sa_family, types[l->kind] | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (inet)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	r = bind_with_mode(fd, &a, len, (mode_t)l->mode);
	if (r == 0 && !inet)
		r = set_owner(l);
	if (r < 0)
		return r;
	if (types[l->kind] != SOCK_DGRAM && listen(fd, BACKLOG) < 0)
		return -errno;
	return fd_take(&fd);
}

int listen_open(const struct svc_listen *l, char *why, size_t why_size)
{
	int fd = open_bound(l);

	if (fd < 0)
		snprintf(why, why_size, "listen %s: %s", l->address, strerror(-fd));
	return fd;
}
