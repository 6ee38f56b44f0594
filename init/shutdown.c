/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/shutdown.h"

#include <signal.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/early.h"
#include "init/logs.h"
#include "init/reap.h"
#include "init/state.h"
#include "init/watchdog.h"
#include "init/world.h"
#include "lib/log.h"
#include "lib/size.h"

#define SECOND	       1000000000ull
#define TRIAL_SHUTDOWN (90 * SECOND) /* bound of a set that gives none */

const char *const shutdown_names[SHUT_MAX] = { "none", "reboot", "poweroff", "halt" };

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
			log_warn("shutdown: out of time name=%s state=%s", world.mgr.v[i]->name,
				 svc_state_names[world.mgr.v[i]->state]);
}

void shutdown_begin(enum shutdown kind)
{
	bool first = world.shutdown == SHUT_NONE;
	uint64_t limit = world.mgr.set->init.shutdown_timeout;

	world.shutdown = kind; /* a second request changes only the kind */
	if (!first)
		return;
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
		if (svc_is_active(world.mgr.v[i]))
			return false;
	return true;
}

/* Everything that is left: ask, wait, kill. The logger ends when its socket is closed. */
static void kill_rest(void)
{
	static const struct {
		int sig;
		uint64_t wait;
	} rounds[] = { { SIGTERM, 2 * SECOND }, { SIGKILL, SECOND } };

	logs_close();
	for (size_t i = 0; i < ARRAY_LEN(rounds); i++) {
		uint64_t until = loop_now() + rounds[i].wait;
		if (world.pid1)
			(void)kill(-1, rounds[i].sig);
		while (loop_now() < until) {
			siginfo_t si = { 0 };
			if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
				return; /* ECHILD: nobody is left */
			if (si.si_pid) {
				reap_soon();
				reap_turn();
			} else {
				(void)loop_turn(world.loop, until - loop_now());
			}
		}
	}
}

void shutdown_finish(void)
{
	static const int commands[SHUT_MAX] = { [SHUT_REBOOT] = RB_AUTOBOOT,
						[SHUT_POWEROFF] = RB_POWER_OFF,
						[SHUT_HALT] = RB_HALT_SYSTEM };

	kill_rest();
	log_info("shutdown: services are down, unmounting");
	watchdog_end(world.shutdown == SHUT_REBOOT);
	final_unmount();
	if (world.pid1)
		final_reboot(commands[world.shutdown]);
	_exit(0);
}
