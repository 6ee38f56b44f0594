/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/daemon/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/slice.h"
#include "lib/text.h"

#define BACKLOG	   64
#define FIRST_FD   3
#define HOST_BYTES 256

/* ---- Unix ------------------------------------------------------------------------------------ */

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

static int listen_unix(const char *path, int *ret, struct err *e)
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
	*ret = fd_take(&fd);
	return 0;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

/* "HOST", "HOST:PORT", "[ADDRESS]:PORT". */
static int parse_host(const char *name, char host[HOST_BYTES], const char **ret_port, struct err *e)
{
	bool brackets = name[0] == '[';
	const char *from = name + brackets;
	size_t n = strcspn(from, brackets ? "]" : ":");
	const char *rest = from + n;
	if (brackets && *rest == ']')
		rest++;
	else if (brackets)
		n = 0;
	uint64_t port;
	bool bad = n == 0 || n >= HOST_BYTES || (*rest && *rest != ':') ||
		   (*rest && text_u64(slice_of(rest + 1), UINT16_MAX, &port));
	if (bad)
		return err_hint(e,
				err_set(e, -ERR_INVALID, "'%.200s' is no place to listen at", name),
				"an absolute path, or HOST[:PORT]");
	memcpy(host, from, n);
	host[n] = 0;
	*ret_port = *rest ? rest + 1 : LISTEN_PORT;
	return 0;
}

static int listen_tcp(const char *name, int *ret, struct err *e)
{
	char host[HOST_BYTES];
	const char *port = LISTEN_PORT;
	int r = parse_host(name, host, &port, e);
	if (r)
		return r;
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found;
	int code = getaddrinfo(host, port, &want, &found);
	if (code)
		return err_set(e, -ERR_INVALID, "cannot find the address of '%s': %s", host,
			       gai_strerror(code));
	auto_fd int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		r = err_sys(e, "cannot listen at %s", name);
	freeaddrinfo(found);
	if (!r)
		*ret = fd_take(&fd);
	return r;
}

/* ---- Clients --------------------------------------------------------------------------------- */

static uint64_t number(const uint8_t *p, size_t n)
{
	uint64_t v = 0;
	while (n--)
		v = v << 8 | *p++;
	return v;
}

uint64_t listen_client(const struct sockaddr_storage *sa)
{
	if (sa->ss_family == AF_INET)
		return LISTEN_FAR | ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr);
	const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
	if (IN6_IS_ADDR_V4MAPPED(a))
		return LISTEN_FAR | number(a->s6_addr + 12, 4);
	if (IN6_IS_ADDR_LOOPBACK(a))
		return LISTEN_FAR | INADDR_LOOPBACK;
	return LISTEN_FAR | number(a->s6_addr, 8);
}

void listen_client_text(uint64_t client, char out[LISTEN_CLIENT_TEXT])
{
	char text[INET6_ADDRSTRLEN] = "";
	uint64_t number = client & ~LISTEN_FAR;
	struct in_addr v4 = { htonl((uint32_t)number) };
	struct in6_addr v6 = { .s6_addr = { 0 } };
	for (unsigned i = 0; i < 8; i++)
		v6.s6_addr[i] = (uint8_t)(number >> (56 - 8 * i));
	if (!(client & LISTEN_FAR))
		snprintf(out, LISTEN_CLIENT_TEXT, "uid=%llu", (unsigned long long)client);
	else if (number >> 32 == 0)
		snprintf(out, LISTEN_CLIENT_TEXT, "address=%s",
			 inet_ntop(AF_INET, &v4, text, sizeof(text)));
	else
		snprintf(out, LISTEN_CLIENT_TEXT, "network=%s/64",
			 inet_ntop(AF_INET6, &v6, text, sizeof(text)));
}

/* ---- All ------------------------------------------------------------------------------------- */

/* Descriptors given by the one who started us. */
static int take_given(int *fds, size_t *n, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t p, given;
	if (!pid || !count || text_u64(slice_of(pid), INT32_MAX, &p) || (pid_t)p != getpid())
		return 0;
	if (text_u64(slice_of(count), LISTEN_MAX, &given) || given == 0)
		return err_set(e, -ERR_INVALID, "bad LISTEN_FDS=%s", count);
	for (uint64_t i = 0; i < given; i++) {
		int fd = FIRST_FD + (int)i;
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_sys(e, "descriptor %d of LISTEN_FDS", fd);
		(void)fd_set_nonblock(fd, true); /* open, as was just seen */
		fds[(*n)++] = fd;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}

int listen_open(const struct vec *names, int fds[LISTEN_MAX], size_t *n, struct err *e)
{
	int r = take_given(fds, n, e);
	if (r || *n)
		return r;
	if (names->n > LISTEN_MAX)
		return err_set(e, -ERR_LIMIT, "at most %d sockets", LISTEN_MAX);
	for (size_t i = 0; !r && i < names->n; i++) {
		const char *name = names->v[i];
		r = name[0] == '/' ? listen_unix(name, &fds[*n], e) : listen_tcp(name, &fds[*n], e);
		*n += r == 0;
	}
	return r;
}
