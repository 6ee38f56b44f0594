/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/inherit.h"
#include "init/state.h"
#include "init/world.h"

#define ARGS_MAX 16

static struct {
	char *argv[ARGS_MAX + 4];
	char number[12];
	int exe;
	pid_t pid;
	volatile sig_atomic_t depth;
} st = { .exe = -1 };

static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

static void say(const char *text, size_t n)
{
	int fd = st.pid == 1 ? open("/dev/kmsg", O_WRONLY | O_CLOEXEC) : -1;

	(void)!write(fd >= 0 ? fd : 2, text, n);
	if (fd >= 0)
		(void)close(fd);
}

/* Digits without the C library: a handler comes here. */
static void set_number(int fd)
{
	char *p = st.number + sizeof(st.number) - 1;

	*p = '\0';
	for (; p > st.number; fd /= 10) {
		*--p = (char)('0' + fd % 10);
		if (fd < 10)
			break;
	}
	st.argv[2] = p;
}

int crash_exec(int exe)
{
	if (exe < 0 || state_fd() < 0)
		return -EBADF;
	set_number(state_fd());
	inherit_pass(true);
	(void)syscall(SYS_execveat, exe, "", st.argv, environ, AT_EMPTY_PATH);
	int r = -errno;
	inherit_pass(false);
	return r;
}

/* Nothing works: what the administrator can still have is a shell. The services keep running; its
 * exec keeps the number of the process. */
__attribute__((noreturn)) static void last_resort(int sig)
{
	static const char text[] = "<2>cairn-init: fatal signal, becoming a rescue shell\n";
	static char *const argv[] = { "sh", NULL };
	static char *const envp[] = { "PATH=/bin:/sbin", "TERM=linux", NULL };
	sigset_t none;

	say(text, sizeof(text) - 1);
	if (world.trial) { /* nobody may be there, and the last good generation can do better */
		sync();
		(void)reboot(RB_AUTOBOOT); /* refused in a container */
	}
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);
	for (int i = 0; fd >= 0 && i < 3; i++)
		(void)dup2(fd, i);
	if (st.pid == 1)
		execve("/bin/sh", argv, envp);
	_exit(128 + sig);
}

/* On its own stack, and with nothing but system calls and stores: whatever is broken, this works. A
 * fault in here is met by the next, simpler, try. Signals that are blocked stay so: what is pending
 * is read by the next life, and is not lost. The kernel blocks nothing for this handler
 * (SA_NODEFER), so a next fault is one again. */
static void on_fault(int sig)
{
	static const char text[] = "<2>cairn-init: fatal signal, executing itself again\n";
	int depth = st.depth++;

	if (getpid() != st.pid)
		_exit(128 + sig); /* a child before its exec */
	if (depth > 1)
		last_resort(sig);
	if (depth == 0) {
		struct timespec ts = { 0 };
		(void)syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &ts);
		say(text, sizeof(text) - 1);
		if (state_crashed((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec))
			last_resort(sig);
	}
	(void)crash_exec(st.exe);
	last_resort(sig);
}

void crash_init(char **argv, int exe)
{
	static char stack[16384];
	static char option[] = "--adopt", name[] = "cairn-init";
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER };
	sigset_t unblock;
	size_t n = 0;

	st.pid = getpid();
	st.exe = exe;
	st.argv[n++] = name;
	st.argv[n++] = option;
	st.argv[n++] = st.number;
	for (size_t i = 1; argv[i] && n < ARGS_MAX; i++) {
		if (strcmp(argv[i], option) == 0 && argv[i + 1])
			i++; /* that of this life */
		else
			st.argv[n++] = argv[i];
	}
	(void)sigaltstack(&alternate, NULL);
	sigemptyset(&unblock);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		(void)sigaction(faults[i], &fault, NULL);
		sigaddset(&unblock, faults[i]);
	}
	(void)sigprocmask(SIG_UNBLOCK, &unblock, NULL); /* a mask outlives an exec */
}
