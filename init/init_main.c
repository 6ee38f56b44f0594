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

#include "init/adopt.h"
#include "init/child.h"
#include "init/crash.h"
#include "init/early.h"
#include "init/inherit.h"
#include "init/logger.h"
#include "init/logs.h"
#include "init/pidns.h"
#include "init/rescue-shell.h"
#include "init/state.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "lib/text.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define USAGE                                                                                      \
	"usage: cairn-init [--run-dir DIR] [SET | cairn.system=DIR]\n"                             \
	"PID 1: starts and supervises the services of SET (service-set.md).\n"                     \
	"Without SET: services/set of the system that cairn.system= names, an argument in a "      \
	"container, else on the kernel's command line.\n"

struct options {
	const char *run_dir, *set, *system;
	bool trial;
	int adopt; /* descriptor of a life before; -1: none */
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
		} else if (strcmp(argv[i], "--adopt") == 0 && i + 1 < argc) {
			uint64_t fd;
			if (text_u64(slice_of(argv[++i]), INHERIT_MAX, &fd) == 0)
				o->adopt = (int)fd;
		} else if (strcmp(argv[i], "--version") == 0) {
			say("cairn-init " CAIRN_VERSION "\nadopts 1\n"); /* a life before */
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

static void set_signals(bool pid1)
{
	for (int i = 1; i < NSIG; i++)
		proc_signal_unignore(i);
	if (pid1)
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
	else if (world_read_set(o->set, &set, e) == 0)
		world.set_path = o->set;
	return set;
}

/* A first life: nothing is there yet. */
static struct svc_set *begin(struct options *o, bool pid1, struct err *e)
{
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
	logs_open();
	world.trial = pid1 && (o->trial || early_on_trial());
	log_info("init: starts version=%s pid=%d%s", CAIRN_VERSION, (int)getpid(),
		 world.trial ? " trial=yes" : "");
	world.exe = open_self("/proc/self/exe");
	int r = state_new();
	if (r < 0)
		log_warn("state: not kept why=\"%s\"", strerror(-r));
	return read_set(o, e);
}

/* One that goes on where another ended. */
static struct svc_set *go_on(struct options *o, bool pid1, struct err *e)
{
	struct svc_set *set = NULL;
	int fd = inherit_take(o->adopt, S_IFREG), r = state_old(fd);

	early_log(pid1);
	world.exe = open_self("/proc/self/exe");
	if (r == 0)
		r = state_new();
	else
		(void)state_new();
	log_info("init: goes on version=%s%s", CAIRN_VERSION,
		 state_is_minimal() ? " with=processes" : "");
	if (r == 0)
		r = adopt_sets(&set);
	if (r < 0) {
		log_error("adopt: the state is lost why=\"%s\"", strerror(-r));
		/* To do again what is done once at a boot would stop the rest. */
		world.booted = !state_is_empty();
	}
	return set ? set : read_set(o, e);
}

int main(int argc, char **argv)
{
	struct options o = { .run_dir = "/run/cairn", .adopt = -1 };
	struct err e = ERR_INIT;
	bool pid1 = getpid() == 1;

	if (argc == 2 && strcmp(argv[1], "--logger") == 0)
		return logger_main() < 0;
	if (argc == 2 && strcmp(argv[1], "--reaper") == 0)
		return pidns_main();
	world.exe = world.next_exe = -1; /* not zeros, which would be kilobytes of the program */
	crash_init(argv, -1);
	parse_options(argc, argv, &o);
	set_signals(pid1);
	(void)umask(INIT_UMASK);
	(void)!chdir("/");
	if (o.adopt >= 0)
		inherit_note();
	struct svc_set *set = o.adopt >= 0 ? go_on(&o, pid1, &e) : begin(&o, pid1, &e);
	crash_init(argv, world.exe);
	bool broken = !set;
	if (broken) {
		log_error("init: no services why=\"%s\"", e.msg);
		if (!pid1)
			return err_status(e.code);
		set = svc_set_empty();
		if (!set)
			panic("out of memory");
	}
	if (o.adopt < 0)
		early_hostname(pid1 ? set->init.hostname : NULL);
	if (world_init(set, o.run_dir, &e) < 0)
		panic(e.msg);
	if (o.adopt >= 0)
		adopt_services();
	if (broken)
		rescue_shell("no service set");
	/* From here on nothing exits. */
	world_run();
}
