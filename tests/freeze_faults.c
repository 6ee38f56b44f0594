/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * freeze-faults FAULT DIR: freezes and thaws the file system of DIR as a switch does
 * (bootloader/freeze.c), with one fault. Prints what came of it: "frozen", "synced", or the reason.
 * Nothing is touched but a file system on a loop device, or one in memory.
 *
 *	none
 *	NUMBER		FIFREEZE fails with this errno
 *	killed		who freezes is killed inside the freeze
 *	alone		and so is who waits for it
 *	stuck		who freezes does not go on until somebody has thawed
 *	late		after the time-out there is a freeze, in which who froze is killed
 *	unguarded	the guard is killed before anything is frozen
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bootloader/freeze.h"
#include "lib/fd.h"
#include "lib/text.h"

#define LOOP_MAJOR 7
#define TIMEOUT_MS 300 /* instead of the guard's */
#define LIMIT_MS   20000

static const char *fault;
static pid_t caller;

/* Of all processes. */
static volatile struct {
	int thaws; /* how often somebody has tried */
	int locks; /* calls of mlockall(): one of the guard, one of who freezes */
} * shared;

static bool is(const char *name)
{
	return strcmp(fault, name) == 0;
}

static void wait_for_thaw(void)
{
	for (int n = 0; shared->thaws == 0 && n < LIMIT_MS; n++)
		(void)usleep(1000);
}

static void after_freeze(void)
{
	if (is("stuck"))
		wait_for_thaw();
	if (is("alone"))
		(void)kill(caller, SIGKILL);
	if (is("killed") || is("alone") || is("late") || (is("stuck") && shared->thaws == 0))
		(void)kill(getpid(), SIGKILL);
}

/* The C library's, for the one file that is tested. */
int ioctl(int fd, unsigned long request, ...)
{
	uint64_t number = 0;

	if (request == FIFREEZE && text_u64(slice_of(fault), INT32_MAX, &number) == 0) {
		errno = (int)number;
		return -1;
	}
	if (request == FIFREEZE && is("late"))
		wait_for_thaw();
	int r = (int)syscall(SYS_ioctl, fd, request, 0);
	if (request == FITHAW)
		++shared->thaws;
	else if (request == FIFREEZE && r == 0)
		after_freeze();
	return r;
}

int poll(struct pollfd *p, nfds_t n, int timeout)
{
	struct timespec limit = { .tv_nsec = TIMEOUT_MS * 1000000L };

	(void)timeout;
	return (int)syscall(SYS_ppoll, p, n, &limit, NULL, 0);
}

int mlockall(int flags)
{
	(void)flags;
	if (shared->locks++ == 0 && is("unguarded"))
		(void)kill(getpid(), SIGKILL);
	return 0;
}

static bool may_freeze(int fd)
{
	struct stat st;
	struct statfs fs;

	return fstat(fd, &st) == 0 && fstatfs(fd, &fs) == 0 &&
	       (major(st.st_dev) == LOOP_MAJOR || fs.f_type == TMPFS_MAGIC);
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	bool frozen = false;

	if (argc != 3)
		return 2;
	fault = argv[1];
	caller = getpid();
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	auto_fd int dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (shared == MAP_FAILED || dir < 0 || !may_freeze(dir)) {
		puts("not a directory of a loop device");
		return 2;
	}
	int r = freeze_flush(dir, &frozen, &e);
	puts(r < 0 ? e.msg : frozen ? "frozen" : "synced");
	return r < 0;
}
