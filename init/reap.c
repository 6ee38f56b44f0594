/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/reap.h"

#include <signal.h>
#include <sys/wait.h>

#include "init/accept.h"
#include "init/cgroup.h"
#include "init/logs.h"
#include "init/rescue-shell.h"
#include "init/state.h"
#include "init/world.h"
#include "lib/fd.h"

#define PID_BUCKETS 256

static struct pid_link *buckets[PID_BUCKETS];
static bool due;

void reap_watch(struct pid_link *l, pid_t pid, struct svc *s)
{
	struct pid_link **bucket = &buckets[(unsigned)pid % PID_BUCKETS];

	*l = (struct pid_link){ .next = *bucket, .pid = pid, .svc = s };
	*bucket = l;
}

void reap_forget(struct pid_link *l)
{
	struct pid_link **p = &buckets[(unsigned)l->pid % PID_BUCKETS];

	while (*p && *p != l)
		p = &(*p)->next;
	if (*p)
		*p = l->next;
	l->pid = 0;
}

static struct pid_link *pid_lookup(pid_t pid)
{
	struct pid_link *l = buckets[(unsigned)pid % PID_BUCKETS];

	while (l && l->pid != pid)
		l = l->next;
	return l;
}

bool reap_knows(pid_t pid)
{
	return pid_lookup(pid) != NULL;
}

struct svc *reap_owner(pid_t pid)
{
	struct pid_link *l = pid_lookup(pid);
	char name[LIMIT_SVC_NAME + 1];

	if (l)
		return l->svc;
	if (cgroup_on() && cgroup_service_of(pid, name))
		return svc_mgr_find(&world.mgr, slice_of(name));
	return NULL;
}

/* Without a control group the process group goes with its leader, before its number is free. */
static void kill_group(const struct svc *s, const siginfo_t *si)
{
	bool launcher = (s->def->type == SVC_ONESHOT || s->def->type == SVC_FORKING) &&
			s->state == SVC_STARTING && si->si_code == CLD_EXITED && si->si_status == 0;

	if (!s->has_cgroup && !s->def->scope_main && !launcher)
		(void)kill(-si->si_pid, SIGKILL);
}

void reap_tell(struct pid_link *l, int status)
{
	struct svc *s = l->svc;
	bool main = l == &s->main_link;

	if (!main && l != &s->aux_link) {
		accept_ended(l);
		return;
	}
	int fd = fd_take(main ? &s->pidfd : &s->auxfd);

	reap_forget(l);
	if (main) {
		loop_del(&s->main_src);
		s->pid = -1;
		svc_exited(&world.mgr, s, status);
	} else {
		s->aux = -1;
		svc_aux_exited(&world.mgr, s, status);
	}
	state_commit_svc(s);
	fd_close(&fd); /* the number is free only now that nobody is told of it */
}

/* As waitpid(2) has it. */
static int status_of(const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED)
		return (si->si_status & 0xff) << 8;
	return (si->si_status & 0x7f) | (si->si_code == CLD_DUMPED ? 0x80 : 0);
}

static bool reap_some(void)
{
	for (unsigned i = 0; i < LIMIT_REAP_TURN; i++) {
		siginfo_t si = { 0 };
		int status = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
			return false;
		struct pid_link *l = pid_lookup(si.si_pid);
		if (l && l == &l->svc->main_link)
			kill_group(l->svc, &si);
		/* What it means is kept before it is consumed: a crash in between finds it again.
		 */
		if (l)
			reap_tell(l, status_of(&si));
		if (waitpid(si.si_pid, &status, WNOHANG) < 0)
			return false;
		if (!l && !logs_ended(si.si_pid))
			(void)rescue_ended(si.si_pid, status);
	}
	return true; /* more may be there */
}

void reap_soon(void)
{
	due = true;
}

bool reap_is_due(void)
{
	return due;
}

void reap_turn(void)
{
	if (due)
		due = reap_some();
}
