/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/rescue-shell.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "init/child.h"
#include "init/shutdown.h"
#include "init/state.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"

static pid_t rescue = -1;
static int rescue_fd = -1;

void rescue_init(void)
{
	if (state_keep(STATE_RESCUE, &rescue, sizeof(rescue)) && rescue >= 0 &&
	    waitid(P_PID, (id_t)rescue, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) < 0)
		rescue = -1;
}

static int exec_rescue(void *arg)
{
	static const char *const fallback[] = { "/bin/sh", NULL };
	static const char *const envp[] = { "TERM=linux", "HOME=/", CHILD_PATH, NULL };
	const char *const *argv = world.mgr.set->init.rescue;
	int fd = open("/dev/console", O_RDWR | O_CLOEXEC | O_NOCTTY);

	(void)setsid();
	for (int i = 0; fd >= 0 && i < 3; i++)
		(void)dup2(fd, i);
	(void)!write(1, "\r\ncairn-init: rescue; the machine reboots when this ends\r\n", 58);
	if (!argv)
		argv = fallback;
	execve(argv[0], (char *const *)argv, (char *const *)envp);
	return -errno;
}

void rescue_shell(const char *why)
{
	if (rescue >= 0)
		return;
	if (world.trial) {
		log_error("trial: given up, rebooting why=\"%s\"", why);
		shutdown_begin(SHUT_REBOOT);
		return;
	}
	log_error("rescue: starting why=\"%s\"", why);
	int r = child_fork(exec_rescue, NULL, &rescue, &rescue_fd);
	if (r < 0)
		log_error("rescue: not started why=\"%s\"", strerror(-r));
}

bool rescue_ended(pid_t pid, int status)
{
	if (pid != rescue)
		return false;
	rescue = -1;
	fd_close(&rescue_fd);
	if (world.shutdown)
		return true; /* it was told what to do, perhaps from that very shell */
	/* No rescue program: leave the rest running rather than reboot in a circle. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1 && !world.mgr.set->init.rescue)
		log_error("rescue: no program to run");
	else
		shutdown_begin(SHUT_REBOOT);
	return true;
}
