/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/sweep.h"
#include "tests/unit/test.h"

#define LOOKS 3000

/* A shell that executes itself for ever, with SERVICE_NAME=restless. */
static pid_t restless(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		char *argv[] = { "sh", "-c", "exec sh -c \"$again\"", NULL };
		char *envp[] = { "SERVICE_NAME=restless", "again=exec sh -c \"$again\"",
				 "PATH=/bin:/usr/bin", NULL };
		execve("/bin/sh", argv, envp);
		_exit(127);
	}
	return pid;
}

/* As a walk over the children of PID 1 does. */
static void look(int pid, void *arg)
{
	char name[LIMIT_SVC_NAME + 1];

	if (sweep_service_of(pid, name) && !strcmp(name, "restless"))
		++*(int *)arg;
}

TEST(a_service_is_known_in_the_middle_of_an_exec)
{
	pid_t pid = restless();
	int found = 0;

	CHECK(pid > 0);
	for (int i = 0; i < 1000 && !found; i++, usleep(1000))
		sweep_children(look, &found);
	found = 0;
	for (int i = 0; i < LOOKS; i++)
		sweep_children(look, &found);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	/* On a busy machine it is now and then put aside in there for longer than a walk waits. */
	CHECK(found >= LOOKS - LOOKS / 500);
}

TEST_MAIN(a_service_is_known_in_the_middle_of_an_exec)
