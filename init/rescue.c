/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "lib/slice.h"

#define CONSOLES 4

/* The terminal whose name is arg becomes the child's. */
static int take_terminal(void *arg)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/dev/%s", (const char *)arg);
	int fd = open(path, O_RDWR | O_NONBLOCK); /* a line without a carrier would wait for it */
	if (fd < 0)
		return -errno;
	(void)fd_set_nonblock(fd, false);
	for (int i = 0; i < 3; i++)
		if (dup2(fd, i) < 0)
			return -errno;
	return 0;
}

/* Names of the terminals that the kernel's messages go to: people may sit at any of them. */
static size_t find_consoles(char name[CONSOLES][32])
{
	char text[256];
	auto_fd int fd = open("/sys/class/tty/console/active", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : fd_read_some(fd, text, sizeof(text));
	struct slice rest = slice_trim((struct slice){ text, got > 0 ? (size_t)got : 0 }), word;
	size_t n = 0;

	while (rest.n && n < CONSOLES && slice_cut(&rest, ' ', &word)) {
		if (!word.n || word.n >= 32)
			continue;
		memcpy(name[n], word.p, word.n);
		name[n][word.n] = '\0';
		/* tty0 is whichever is in front, and cannot be a terminal of one's own. */
		if (strcmp(name[n], "tty0") == 0)
			name[n][3] = '1';
		n++;
	}
	if (n == 0)
		memcpy(name[n++], "console", sizeof("console"));
	return n;
}

static bool start_shell(char *terminal, struct proc *ret)
{
	static const char *const argv[] = { "sh", NULL };
	static const char *const envp[] = { "PATH=/sbin:/bin", "TERM=linux", "HOME=/", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	struct err e = ERR_INIT;

	spec.path = "/bin/sh";
	spec.argv = argv;
	spec.envp = envp;
	spec.setsid = true;
	spec.setup = take_terminal;
	spec.arg = terminal;
	if (proc_start(&spec, ret, &e) == 0)
		return true;
	log_error("rescue: %s: %s", terminal, e.msg);
	return false;
}

bool rescue_shell(void)
{
	char name[CONSOLES][32];
	struct proc shell[CONSOLES];
	size_t n = 0, consoles = find_consoles(name);
	int status;

	if (access("/bin/sh", X_OK) < 0)
		return false;
	for (size_t i = 0; i < consoles; i++)
		n += start_shell(name[i], &shell[n]);
	for (bool one = n == 0; !one;) {
		siginfo_t si = { 0 };
		if (waitid(P_ALL, 0, &si, WEXITED | WNOWAIT) < 0 && errno != EINTR)
			break;
		for (size_t i = 0; i < n; i++)
			one |= shell[i].pid == si.si_pid;
		if (!one && si.si_pid)
			(void)waitpid(si.si_pid, NULL, WNOHANG); /* left behind by a shell */
	}
	for (size_t i = 0; i < n; i++) {
		(void)proc_kill(&shell[i], SIGKILL); /* a zombie does not mind */
		(void)proc_wait(&shell[i], &status);
	}
	return n > 0;
}
