/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cairn-init: PID 1. The early phase may end with a message and the rescue program; after
 * world_run() nothing exits before the machine does.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "init/early.h"
#include "init/logger.h"
#include "init/rescue-shell.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/proc.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define USAGE                                                                                      \
	"usage: cairn-init [--run-dir DIR] [SET | cairn.system=DIR]\n"                             \
	"PID 1: starts and supervises the services of SET (see the service-set format).\n"         \
	"Without SET: services/set of the system named by cairn.system=, which in a container is " \
	"an argument and else on the kernel's command line.\n"

struct options {
	const char *run_dir, *set, *system;
	bool trial;
};

static void say(const char *text)
{
	(void)!write(STDOUT_FILENO, text, strlen(text));
}

/* The kernel hands over words it does not know: what is not an absolute path is left alone. A
 * container has no command line of a kernel of its own, so the system may be an argument; and what
 * stage 1 chose (the set, whether it is on trial) is not on it either. */
static void parse_options(int argc, char **argv, struct options *o)
{
	static const char key[] = "cairn.system=/", trial[] = "cairn.trial=";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--run-dir") == 0 && i + 1 < argc) {
			o->run_dir = argv[++i];
		} else if (strcmp(argv[i], "--version") == 0) {
			say("cairn-init " CAIRN_VERSION "\n");
			_exit(0);
		} else if (strcmp(argv[i], "--help") == 0) {
			say(USAGE);
			_exit(0);
		} else if (argv[i][0] == '/') {
			o->set = argv[i];
		} else if (strncmp(argv[i], key, sizeof(key) - 1) == 0) {
			o->system = argv[i] + sizeof(key) - 2;
		} else if (strncmp(argv[i], trial, sizeof(trial) - 1) == 0) {
			o->trial = true;
		}
	}
}

/* 0, 1, 2 are open from here on, so that nothing else becomes one of them. */
static void open_standard(bool pid1)
{
	int fd;

	do {
		fd = pid1 ? open("/dev/console", O_RDWR | O_NOCTTY | O_NONBLOCK) : -1;
		if (fd < 0)
			fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd < 2);
	if (fd > 2)
		fd_close(&fd);
}

/* Nobody may be there to use a shell, and the last good generation can do better. */
static void reset_now(void)
{
	sync();
	(void)reboot(RB_AUTOBOOT); /* refused in a container */
}

/* Nothing works: what the administrator can still have is a shell. */
__attribute__((noreturn)) static void panic(const char *why)
{
	static char *const argv[] = { "sh", NULL };
	static char *const envp[] = { "PATH=/bin:/sbin", "TERM=linux", NULL };

	log_error("init: cannot go on why=\"%s\"", why);
	if (world.trial)
		reset_now();
	if (getpid() == 1)
		execve("/bin/sh", argv, envp);
	_exit(1);
}

/* A fault in PID 1 would stop the kernel: become the rescue shell instead. The services keep
 * running; the shell's exec keeps the pid. */
static void on_fault(int sig)
{
	static const char text[] = "<2>cairn-init: fatal signal, becoming a rescue shell\n";
	static char *const argv[] = { "sh", NULL };
	static char *const envp[] = { "PATH=/bin:/sbin", "TERM=linux", NULL };
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	sigset_t none;

	(void)!write(fd >= 0 ? fd : 2, text, sizeof(text) - 1);
	if (world.trial)
		reset_now();
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	fd = open("/dev/console", O_RDWR | O_NOCTTY);
	for (int i = 0; fd >= 0 && i < 3; i++)
		(void)dup2(fd, i);
	execve("/bin/sh", argv, envp);
	_exit(128 + sig);
}

static void set_signals(bool pid1)
{
	static char stack[16384];
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_RESETHAND };

	for (int i = 1; i < NSIG; i++)
		proc_signal_unignore(i);
	if (!pid1)
		return;
	(void)sigaltstack(&alternate, NULL);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		(void)sigaction(faults[i], &fault, NULL);
	(void)reboot(RB_DISABLE_CAD); /* the keys become SIGINT; refused in a container */
}

/* Above the numbers that a child gets its descriptors at. */
static int open_self(const char *argv0)
{
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	if (fd < 0)
		fd = open(argv0, O_PATH | O_CLOEXEC);
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
	fd_close(&fd);
	return high;
}

static struct svc_set *read_set(struct options *o, struct err *e)
{
	struct svc_set *set = NULL;
	char system[LIMIT_PATH];

	if (!o->system && early_kernel_arg("cairn.system", system, sizeof(system)))
		o->system = system;
	if (!o->set && o->system) {
		early_booted_system(o->system);
		snprintf(world.set_buf, sizeof(world.set_buf), "%.2900s/services/set", o->system);
		o->set = world.set_buf;
	}
	if (!o->set)
		err_set(e, -ERR_NOTFOUND, "no service set [give its path, or cairn.system=]");
	else if (svc_set_load(o->set, &set, e) == 0)
		world.set_path = o->set;
	return set;
}

int main(int argc, char **argv)
{
	struct options o = { .run_dir = "/run/cairn" };
	struct err e = ERR_INIT;
	bool pid1 = getpid() == 1;

	if (argc == 2 && strcmp(argv[1], "--logger") == 0)
		return logger_main() < 0;
	parse_options(argc, argv, &o);
	set_signals(pid1);
	(void)umask(022);
	/* Nothing inherited goes on to services. Old kernels lack the call; there none is open. */
	(void)syscall(SYS_close_range, 3, ~0u, 0);
	if (pid1) {
		(void)setsid(); /* fails when it is a leader already */
		early_log(false);
		early_mounts();
		early_devices();
	}
	open_standard(pid1);
	early_log(pid1);
	world.trial = pid1 && (o.trial || early_on_trial());
	log_info("init: starts version=%s pid=%d%s", CAIRN_VERSION, (int)getpid(),
		 world.trial ? " trial=yes" : "");
	world.exe = open_self(argv[0]);

	struct svc_set *set = read_set(&o, &e);
	bool broken = !set;
	if (broken) {
		log_error("init: no services why=\"%s\"", e.msg);
		if (!pid1)
			return err_status(e.code);
		set = svc_set_empty();
		if (!set)
			panic("out of memory");
	}
	early_hostname(pid1 ? set->init.hostname : NULL);
	if (world_init(set, o.run_dir, &e) < 0)
		panic(e.msg);
	if (broken)
		rescue_shell("no service set");
	/* From here on nothing exits. */
	world_run();
}
