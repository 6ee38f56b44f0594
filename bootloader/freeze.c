/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A file system that stays frozen hangs the machine, so three parties can thaw it: the child that
 * froze it, at once; a guard in a session of its own that sees the child's pipe close without the
 * word that all is well; and the guard again when the child takes too long. Neither of the two
 * touches a file in between or receives signals from a terminal, and the guard leaves the control
 * group, so that whoever ends a service with all its processes does not end both at once.
 */
#include "bootloader/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/fd.h"

#define FREEZE_TIMEOUT_MS (60 * 1000) /* of the flush inside the freeze; then the guard thaws */

/* What the child reports: one byte at most of each, in this order. */
#define SAID_BEGINS 'b' /* before it freezes */
#define SAID_DONE   'd' /* nothing is frozen by it, or no longer */

static void quiet_start(void)
{
	sigset_t all;

	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL); /* cannot fail with these arguments */
	(void)setsid();				    /* fails only for a group leader */
	(void)mlockall(MCL_CURRENT); /* without the privilege: paging in still only reads */
	int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom >= 0 && write(oom, "-1000", 5) < 0)
		(void)0; /* as before, then */
}

/* Ends with the errno of a freeze that did not happen. Without a guard, that is one. */
_Noreturn static void freezer(int dirfd, int said)
{
	char c = SAID_BEGINS;
	int r = 0;

	quiet_start();
	if (write(said, &c, 1) < 0)
		_exit(errno);
	if (ioctl(dirfd, FIFREEZE, 0) < 0)
		r = errno; /* what is frozen all the same is somebody else's */
	else if (ioctl(dirfd, FITHAW, 0) < 0 && errno != EINVAL)
		_exit(EIO); /* says no word: the guard tries again */
	c = SAID_DONE;
	(void)!write(said, &c, 1);
	_exit(r);
}

static void leave_cgroup(void)
{
	int procs = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (procs >= 0 && write(procs, "0", 1) < 0)
		(void)0; /* not ours to leave */
	fd_close(&procs);
}

/* Sends one byte when it is ready, before anything is frozen. */
_Noreturn static void guard(int dirfd, int said, int ready)
{
	struct pollfd p = { .fd = said, .events = POLLIN };
	bool begun = false, open = true;
	char c = 0;

	quiet_start();
	leave_cgroup();
	(void)!write(ready, &c, 1); /* its end says as much */
	(void)close(ready);
	while (open) {
		int n = poll(&p, 1, FREEZE_TIMEOUT_MS);
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0 && read(said, &c, 1) == 1) {
			if (c == SAID_DONE)
				_exit(0);
			begun = true;
			continue;
		}
		open = n == 0; /* else it may have died inside the freeze */
		if (begun && ioctl(dirfd, FITHAW, 0) == 0)
			_exit(0);
		/* Not frozen, or not yet: a freeze that waits for writers can still come about. */
	}
	_exit(begun && errno != EINVAL ? 1 : 0);
}

static int child_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status))
		return -EIO;
	return -WEXITSTATUS(status);
}

/* 0: frozen and thawed; -errno: why not. */
static int freeze_thaw(int dirfd)
{
	int p[2], q[2];
	char c;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	auto_fd int rd = p[0];
	auto_fd int wr = p[1];
	if (pipe2(q, O_CLOEXEC) < 0)
		return -errno;
	auto_fd int ready_rd = q[0];
	auto_fd int ready_wr = q[1];
	pid_t g = fork();
	if (g < 0)
		return -errno;
	if (g == 0) {
		(void)close(wr);
		(void)close(ready_rd);
		guard(dirfd, rd, ready_wr);
	}
	fd_close(&ready_wr);
	fd_close(&rd);			     /* so that the freezer sees the end of the guard */
	(void)fd_read_some(ready_rd, &c, 1); /* the guard stands, or is dead */
	pid_t f = fork();
	int r = f < 0 ? -errno : 0;
	if (f == 0)
		freezer(dirfd, wr);
	fd_close(&wr); /* so that the end of the freezer is the end of the pipe */
	if (f > 0)
		r = child_wait(f);
	int rg = child_wait(g);
	return r < 0 ? r : rg < 0 ? -EIO : 0;
}

int freeze_flush(int dirfd, bool *ret_frozen, struct err *e)
{
	if (syncfs(dirfd) < 0)
		return err_sys(e, "syncing the file system of the boot menu");
	int r = freeze_thaw(dirfd);
	switch (r) {
	case 0:
		*ret_frozen = true;
		return 0;
	case -EPERM:
	case -EACCES:
	case -EOPNOTSUPP:
	case -ENOTTY:
	case -EINVAL:
		*ret_frozen = false;
		return 0;
	case -EBUSY: /* someone else holds it frozen: what was synced is in place already */
		*ret_frozen = true;
		return 0;
	default:
		return err_num(e, r, "freezing the file system of the boot menu");
	}
}
