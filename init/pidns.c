/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/pidns.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/fd.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

#define NOBODY 65534
#define FIRST  2 /* its number in the namespace */

static int home = -1; /* the namespace of PID 1 */
static bool away;

__attribute__((noreturn)) static void become_reaper(int exe)
{
	static char *const argv[] = { "cairn-init", "--reaper", NULL };
	static char *const envp[] = { NULL };

	(void)setsid();
	(void)syscall(SYS_execveat, exe, "", argv, envp, AT_EMPTY_PATH);
	_exit(127);
}

static int open_home(void)
{
	int fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10); /* above those of children */

	fd_close(&fd);
	return high;
}

void pidns_come_home(void)
{
	int fd = open_home();

	if (fd >= 0)
		(void)setns(fd, CLONE_NEWPID); /* who may not cannot have gone */
	fd_close(&fd);
}

int pidns_join(int pidfd)
{
	if (home < 0)
		home = open_home();
	if (home < 0 || setns(pidfd, CLONE_NEWPID) < 0)
		return -errno;
	away = true;
	return 0;
}

int pidns_begin(pid_t (*clone)(uint64_t flags, int *pidfd), int exe, int *ret_reaper)
{
	int reaper = -1, r;
	pid_t pid = clone(CLONE_NEWPID | CLONE_VFORK, &reaper);

	if (pid == 0)
		become_reaper(exe);
	r = pid < 0 ? -errno : pidns_join(reaper);
	if (r < 0)
		pidns_tell(&reaper, false);
	else
		*ret_reaper = reaper;
	return r;
}

int pidns_end(void)
{
	if (away && setns(home, CLONE_NEWPID) < 0)
		return -errno;
	away = false;
	return 0;
}

void pidns_tell(int *reaper, bool started)
{
	int sig = started ? SIGUSR1 : SIGKILL;

	if (*reaper >= 0)
		(void)syscall(SYS_pidfd_send_signal, *reaper, sig, NULL, 0);
	fd_close(reaper);
}

/* ---- the reaper ------------------------------------------------------------------------------*/

static void reap_all(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int pidns_main(void)
{
	struct signalfd_siginfo si;
	struct pollfd p[2] = { { .fd = -1, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
	sigset_t all;

	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	p[0].fd = signalfd(-1, &all, SFD_CLOEXEC);
	if (p[0].fd < 0)
		return 1;
	/* It is outside of what the service is shut into, so it can do nothing. */
	(void)syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY);
	(void)syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	while (!(p[1].revents & POLLIN)) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (!(p[0].revents & POLLIN) || read(p[0].fd, &si, sizeof(si)) != sizeof(si))
			continue;
		reap_all();
		/* Who is gone already was reaped by its parent, PID 1. */
		if (si.ssi_signo == SIGUSR1 && si.ssi_pid == 0 && p[1].fd < 0 &&
		    (p[1].fd = (int)syscall(SYS_pidfd_open, FIRST, 0)) < 0)
			return 0;
	}
	return 0;
}
