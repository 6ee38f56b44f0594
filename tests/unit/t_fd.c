/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/test.h"

TEST(close_and_take)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), taken;

	taken = fd_take(&fd);
	CHECK_INT(fd, -1);
	CHECK(taken >= 0);
	errno = EPERM;
	fd_close(&taken);
	CHECK_INT(taken, -1);
	CHECK_INT(errno, EPERM);
	fd_close(&taken);
}

TEST(full_reads_and_writes)
{
	auto_str struct str got = STR_INIT;
	char buf[4];
	int fds[2];

	CHECK_INT(pipe(fds), 0);
	CHECK_INT(fd_write_full(fds[1], "abcdefgh", 8), 0);
	CHECK_INT(fd_read_full(fds[0], buf, 4), 0);
	CHECK(memcmp(buf, "abcd", 4) == 0);
	fd_close(&fds[1]);
	CHECK_INT(fd_read_all(fds[0], &got, 4), 0);
	CHECK_STR(got.buf, "efgh");
	CHECK_INT(fd_read_full(fds[0], buf, 1), -ENODATA);
	fd_close(&fds[0]);
	CHECK_INT(fd_read_full(-1, buf, 1), -EBADF);
}

TEST(read_all_keeps_its_limit)
{
	auto_str struct str got = STR_INIT;
	int fds[2];

	CHECK_INT(pipe(fds), 0);
	CHECK_INT(fd_write_full(fds[1], "abcde", 5), 0);
	fd_close(&fds[1]);
	CHECK_INT(fd_read_all(fds[0], &got, 4), -ERR_LIMIT);
	fd_close(&fds[0]);
}

TEST(descriptors_travel)
{
	int pair[2], fds[2], got = -1;
	char byte = 0, c;

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_INT(pipe(fds), 0);
	CHECK_INT(fd_send(pair[0], fds[1], 'x'), 0);
	CHECK_INT(fd_recv(pair[1], &got, &byte), 0);
	CHECK_INT(byte, 'x');
	CHECK(fcntl(got, F_GETFD) & FD_CLOEXEC);
	CHECK_INT(fd_write_full(got, "y", 1), 0);
	CHECK_INT(fd_read_full(fds[0], &c, 1), 0);
	CHECK_INT(c, 'y');
	fd_close(&got);
	CHECK_INT(fd_write_full(pair[0], "z", 1), 0);
	CHECK_INT(fd_recv(pair[1], &got, &byte), -EBADMSG);
	CHECK_INT(got, -1);
	fd_close(&pair[0]);
	CHECK_INT(fd_recv(pair[1], &got, &byte), -ENODATA);
	CHECK_INT(fd_send(pair[1], fds[0], 'x'), -EPIPE);
	fd_close(&pair[1]);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* Locks belong to the open file description: two of them exclude each other in one process. */
TEST(locks)
{
	int fd[2];
	FILE *f = tmpfile();
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(f));
	fd[0] = open(path, O_RDWR | O_CLOEXEC);
	fd[1] = open(path, O_RDWR | O_CLOEXEC);
	CHECK_INT(fd_lock(fd[0], true, false), 0);
	CHECK_INT(fd_lock(fd[1], false, false), -EAGAIN);
	CHECK_INT(fd_unlock(fd[0]), 0);
	CHECK_INT(fd_lock(fd[1], false, false), 0);
	CHECK_INT(fd_lock(fd[0], false, true), 0);
	CHECK_INT(fd_lock(fd[0], true, false), -EAGAIN);
	fd_close(&fd[1]);
	CHECK_INT(fd_lock(fd[0], true, false), 0);
	fd_close(&fd[0]);
	fclose(f);
}

TEST(nonblock)
{
	int fds[2];
	char c;

	CHECK_INT(pipe(fds), 0);
	CHECK_INT(fd_set_nonblock(fds[0], true), 0);
	CHECK_INT(fd_read_some(fds[0], &c, 1), -EAGAIN);
	CHECK_INT(fd_set_nonblock(fds[0], false), 0);
	CHECK_INT(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

TEST_MAIN(close_and_take, full_reads_and_writes, read_all_keeps_its_limit, descriptors_travel,
	  locks, nonblock)
