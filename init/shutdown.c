/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/shutdown.h"

#include <signal.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/control.h"
#include "init/final.h"
#include "init/logs.h"
#include "init/ops.h"
#include "init/reap.h"
#include "init/state.h"
#include "init/sweep.h"
#include "init/watchdog.h"
#include "init/world.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/size.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define SECOND	       1000000000ull
#define LOOK	       (SECOND / 20) /* the end of a child wakes sooner */
#define LIMIT_TOLD     16
#define TRIAL_SHUTDOWN (90 * SECOND) /* bound of a set that gives none */

const char *const shutdown_names[SHUT_MAX] = { "none", "reboot", "poweroff", "halt", "kexec" };

static struct {
	struct loop_timer timer;
	struct {
		uint64_t deadline; /* 0: none */
		bool late;
	} kept;
} st;

static void on_shutdown_timer(struct loop_timer *t)
{
	(void)t;
	st.kept.late = true;
	for (size_t i = 0; i < world.mgr.set->n; i++)
		if (svc_is_active(world.mgr.v[i]))
			log_error("shutdown: out of time name=%s state=%s", world.mgr.v[i]->name,
				  svc_state_names[world.mgr.v[i]->state]);
}

void shutdown_begin(enum shutdown kind)
{
	bool first = world.shutdown == SHUT_NONE;
	uint64_t limit = world.mgr.set->init.shutdown_timeout;

	world.shutdown = kind; /* a second request changes only the kind */
	if (!first)
		return;
	control_note("shutdown", shutdown_names[kind]);
	log_info("shutdown: begins kind=%s", shutdown_names[kind]);
	svc_shutdown(&world.mgr);
	if (!limit && world.trial)
		limit = TRIAL_SHUTDOWN;
	st.timer.fn = on_shutdown_timer;
	if (limit)
		st.kept.deadline = loop_now() + limit;
	if (limit)
		(void)loop_arm(world.loop, &st.timer, st.kept.deadline);
}

void shutdown_init(void)
{
	bool came = state_keep(STATE_SHUTDOWN, &st.kept, sizeof(st.kept));

	if (!came || !world.shutdown)
		return;
	svc_shutdown(&world.mgr);
	st.timer.fn = on_shutdown_timer;
	if (st.kept.deadline && !st.kept.late)
		(void)loop_arm(world.loop, &st.timer, st.kept.deadline);
}

static void ctrl_alt_del(void)
{
	switch (world.mgr.set->init.ctrl_alt_del) {
	case SVC_CAD_REBOOT:
		shutdown_begin(SHUT_REBOOT);
		break;
	case SVC_CAD_POWEROFF:
		shutdown_begin(SHUT_POWEROFF);
		break;
	default:
		break;
	}
}

void shutdown_signal(int sig)
{
	if (sig == SIGINT)
		ctrl_alt_del();
	else if (sig == SIGTERM || sig == SIGUSR2 || sig == SIGPWR || sig == SIGRTMIN + 3)
		shutdown_begin(SHUT_POWEROFF);
	else if (sig == SIGUSR1)
		shutdown_begin(SHUT_HALT);
}

bool shutdown_is_due(void)
{
	if (!world.shutdown)
		return false;
	if (st.kept.late)
		return true;
	for (size_t i = 0; i < world.mgr.set->n; i++)
		if (svc_is_active(world.mgr.v[i]) && !world.mgr.v[i]->stuck)
			return false;
	return true;
}

struct left {
	const char *what; /* say so of each; NULL: count only */
	unsigned n;
};

static void see_left(int pid, void *arg)
{
	struct left *l = arg;
	char comm[32], name[LIMIT_SVC_NAME + 1] = "";

	if (pid == logs_pid())
		return;
	if (l->what && l->n < LIMIT_TOLD) {
		(void)sweep_read(pid, "comm", comm, sizeof(comm));
		comm[strcspn(comm, "\n")] = '\0';
		(void)sweep_service_of(pid, name);
		log_error("shutdown: %s pid=%d program=%s%s%s", l->what, pid, comm,
			  name[0] ? " name=" : "", name);
	}
	l->n++;
}

static void signal_one(int pid, void *arg)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	ops_pidfd_signal(fd, *(unsigned *)arg);
	fd_close(&fd);
}

/* Who is not PID 1 has no business with others than its children. */
static void signal_all(unsigned sig)
{
	if (world.pid1)
		(void)kill(-1, (int)sig);
	else
		sweep_children(signal_one, &sig);
}

/* Children that have not ended, but the logger; theirs are ours when they are gone. */
static unsigned count_left(const char *what)
{
	struct left l = { .what = what };

	sweep_children(see_left, &l);
	return l.n;
}

static bool logger_is_there(void)
{
	return logs_pid() > 0;
}

static bool others_are_there(void)
{
	return count_left(NULL) > 0;
}

static void wait_while(bool (*there)(void), uint64_t limit)
{
	uint64_t until = loop_now() + limit;

	do {
		reap_soon();
		reap_turn();
	} while (there() && loop_now() < until &&
		 loop_turn(world.loop, MIN_OF(until - loop_now(), LOOK)) >= 0);
}

/* Everything that is left: ask, tell who does not listen while there is a log to say it in, kill.
 */
static void kill_rest(void)
{
	signal_all(SIGTERM);
	wait_while(others_are_there, 2 * SECOND);
	(void)count_left("does not end");
	logs_close(); /* the logger ends with its last line */
	wait_while(logger_is_there, SECOND);
	signal_all(SIGKILL);
	wait_while(others_are_there, SECOND);
	(void)count_left("does not die");
}

void shutdown_finish(void)
{
	static const int commands[SHUT_MAX] = { [SHUT_REBOOT] = RB_AUTOBOOT,
						[SHUT_POWEROFF] = RB_POWER_OFF,
						[SHUT_HALT] = RB_HALT_SYSTEM,
						[SHUT_KEXEC] = FINAL_KEXEC };

	kill_rest();
	log_info("shutdown: services are down, unmounting");
	watchdog_end(world.shutdown == SHUT_REBOOT || world.shutdown == SHUT_KEXEC);
	final_unmount();
	if (world.pid1)
		final_reboot(commands[world.shutdown]);
	_exit(0);
}
