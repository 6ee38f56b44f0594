/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Preloaded into an image writer, and so into what it starts: counts in the file FAULT_COUNT what
 * is done to files below FAULT_BELOW, and lets number FAULT_AT of it fail with FAULT (EIO, ENOSPC),
 * or, with FAULT=short, write one byte less than it was given; with FAULT=kill the program that it
 * was loaded into is killed before that is done. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static atomic_ulong *counter(void)
{
	static atomic_ulong *map;
	const char *file = getenv("FAULT_COUNT");

	if (!map && file) {
		int fd = open(file, O_RDWR | O_CLOEXEC);
		void *p = mmap(NULL, sizeof(*map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		close(fd);
		if (p == MAP_FAILED)
			abort();
		map = p;
	}
	return map;
}

static pid_t loaded_into;

static void __attribute__((constructor)) begin(void)
{
	loaded_into = getpid();
}

static int is_ours(int fd)
{
	const char *below = getenv("FAULT_BELOW");
	char link[64] = "/proc/self/fd/", path[PATH_MAX];
	char *end = link + strlen(link);

	for (int n = fd, scale = 1000000; scale; scale /= 10)
		if (n >= scale || scale == 1)
			*end++ = (char)('0' + n / scale % 10);
	*end = '\0';
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	return n > 0 && below && (size_t)n > strlen(below) &&
	       memcmp(path, below, strlen(below)) == 0;
}

/* Whether it is this one's turn; errno is what it fails with. */
static int is_turn(int fd)
{
	const char *at = getenv("FAULT_AT"), *what = getenv("FAULT");

	if (!is_ours(fd) || !counter() ||
	    atomic_fetch_add(counter(), 1) + 1 != strtoul(at, NULL, 10))
		return 0;
	if (!strcmp(what, "kill")) {
		kill(loaded_into, SIGKILL);
		raise(SIGKILL);
	}
	errno = !strcmp(what, "ENOSPC") ? ENOSPC : EIO;
	return 1;
}

static int is_short(void)
{
	return !strcmp(getenv("FAULT"), "short");
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (is_turn(fd)) {
		if (!is_short())
			return -1;
		n -= n > 1;
	}
	return REAL(write)(fd, p, n);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	if (is_turn(fd)) {
		if (!is_short())
			return -1;
		n -= n > 1;
	}
	return REAL(pwrite64)(fd, p, n, at);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	return pwrite64(fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	return is_turn(fd) && !is_short() ? -1 : REAL(writev)(fd, v, n);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags)
{
	if (is_turn(out)) {
		if (!is_short())
			return -1;
		n -= n > 1;
	}
	return REAL(copy_file_range)(in, from, out, to, n, flags);
}

int ftruncate64(int fd, off64_t n)
{
	return is_turn(fd) && !is_short() ? -1 : REAL(ftruncate64)(fd, n);
}

int ftruncate(int fd, off_t n)
{
	return ftruncate64(fd, n);
}

int fsync(int fd)
{
	return is_turn(fd) && !is_short() ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
	return is_turn(fd) && !is_short() ? -1 : REAL(fdatasync)(fd);
}
