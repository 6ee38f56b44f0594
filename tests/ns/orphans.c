/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * orphans N FILE: N processes that all lose their parent and end at once, in the same moment in
 * which the process is killed whose number stands in FILE.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int go[2], victim = 0;
	FILE *f = argc == 3 ? fopen(argv[2], "r") : NULL;
	char byte;

	if (!f || fscanf(f, "%d", &victim) != 1 || pipe(go) < 0)
		return 1;
	for (int i = atoi(argv[1]); i > 0; i--) {
		pid_t pid = fork();
		if (pid < 0)
			return 2;
		if (pid == 0) {
			close(go[1]);
			_exit(read(go[0], &byte, 1) != 0);
		}
	}
	return kill(victim, SIGKILL) < 0 ? 3 : 0; /* and the pipe has no writer any more */
}
