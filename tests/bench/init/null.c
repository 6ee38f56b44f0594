// SPDX-License-Identifier: GPL-3.0-or-later
// null COUNT: the least that an init can do, so what every other one adds can be seen. Starts COUNT
// services, starts again what ends, reaps; TERM: kills everything, and the machine is off when
// everything is gone.
#include "page.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t started[SLOTS];
static volatile sig_atomic_t ending;

static void end(int sig)
{
	(void)sig;
	ending = 1;
	kill(-1, SIGTERM);
}

static void start(unsigned i)
{
	char index[16];
	snprintf(index, sizeof(index), "%u", i);
	char *argv[] = { "service", index, NULL };
	pid_t pid = vfork();
	if (pid == 0) {
		execv("/bench/service", argv);
		_exit(127);
	}
	started[i] = pid;
}

static int find(pid_t pid, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (started[i] == pid)
			return (int)i;
	return -1;
}

int main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) % (SLOTS + 1) : 0;
	signal(SIGTERM, end);
	for (unsigned i = 0; i < count; i++)
		start(i);
	for (;;) {
		pid_t pid = wait(NULL);
		if (pid < 0 && errno == ECHILD)
			reboot(RB_POWER_OFF);
		int i = pid > 0 && !ending ? find(pid, count) : -1;
		if (i >= 0)
			start((unsigned)i);
	}
}
