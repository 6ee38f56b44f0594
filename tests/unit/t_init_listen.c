/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sockets in a directory that another user may write to: what is given away is the socket, or
 * nothing. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "init/listen.h"
#include "lib/fd.h"
#include "tests/unit/test.h"

static char dir[] = "/tmp/cairn-listen-XXXXXX", path[64], canary[64];
static enum { ALONE, LINK, SAME, FILE_THERE } other;

/* What the other user does in the moment after the socket was bound. */
int bind(int fd, const struct sockaddr *a, socklen_t len)
{
	int r = (int)syscall(SYS_bind, fd, a, len);

	if (r < 0 || other == ALONE)
		return r;
	(void)unlink(path);
	return other == LINK   ? symlink(canary, path)
	       : other == SAME ? link(canary, path)
			       : mknod(path, S_IFREG | 0640, 0);
}

static mode_t mode_of(const char *name)
{
	struct stat sb = { 0 };

	CHECK_INT(lstat(name, &sb), 0);
	return sb.st_mode;
}

/* The canary is a socket of somebody else. */
static void begin(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(canary, sizeof(canary), "%s/canary", dir);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", canary);
	CHECK_INT(syscall(SYS_bind, fd, &a, sizeof(a)), 0);
	CHECK_INT(chmod(canary, 0640), 0);
}

static void end(void)
{
	(void)unlink(path);
	(void)unlink(canary);
	(void)rmdir(dir);
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
}

static int open_it(char why[120])
{
	char user[24];
	struct svc_listen l = { .kind = SVC_STREAM, .address = path, .mode = 0604, .user = user };

	snprintf(user, sizeof(user), "%u", (unsigned)geteuid());
	return listen_open(&l, why, 120);
}

TEST(a_socket_has_its_mode)
{
	char why[120] = "";

	begin();
	other = ALONE;
	auto_fd int fd = open_it(why);
	CHECK_STR(why, "");
	CHECK(fd >= 0);
	CHECK_INT(mode_of(path), S_IFSOCK | 0604);
	mode_t mask = umask(022);
	CHECK_INT(mask, 022); /* what it was */
	end();
}

TEST(sup_16_nothing_else_is_given_away)
{
	static const mode_t there[] = {
		[LINK] = S_IFLNK | 0777, [SAME] = S_IFSOCK | 0640, [FILE_THERE] = S_IFREG | 0600
	};

	for (other = LINK; other <= FILE_THERE; other++) {
		char why[120] = "", want[120];
		begin();
		CHECK_INT(open_it(why), -EEXIST);
		snprintf(want, sizeof(want), "listen %s: File exists", path);
		CHECK_STR(why, want);
		CHECK_INT(mode_of(path), there[other]);
		CHECK_INT(mode_of(canary), S_IFSOCK | 0640);
		end();
	}
}

TEST_MAIN(a_socket_has_its_mode, sup_16_nothing_else_is_given_away)
