/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What happened to the processes of a service, what they said, and what time has come. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "init/svc-inside.h"
#include "lib/proc.h"

static bool is_success(const struct svc_def *d, int status)
{
	if (WIFEXITED(status)) {
		unsigned code = (unsigned)WEXITSTATUS(status);
		return d->success[code / 8] & (1u << (code % 8));
	}
	int sig = WTERMSIG(status);
	return d->type != SVC_ONESHOT &&
	       (sig == SIGHUP || sig == SIGINT || sig == SIGTERM || sig == SIGPIPE);
}

static void exited_starting(struct svc_mgr *m, struct svc *s, int status, bool success)
{
	if (s->def->type == SVC_ONESHOT && success) {
		s->why[0] = '\0';
		if (s->def->remain)
			svc_come_up(m, s);
		else
			svc_died(m, s, SVC_FATE_SUCCESS);
	} else if (s->def->type == SVC_FORKING && WIFEXITED(status) && success) {
		s->pid_wait = true;
		m->ops->timer(s, m->ops->now() + MS);
	} else {
		svc_died(m, s, SVC_FATE_FAILURE);
	}
}

/* It is being stopped for a reason, which says more than the signal that ended it. */
static bool is_explained(const struct svc *s)
{
	return s->fate == SVC_FATE_FAILURE && s->why[0] &&
	       (s->state == SVC_KILLING || (s->state == SVC_STOPPING && !s->leaves));
}

void svc_exited(struct svc_mgr *m, struct svc *s, int status)
{
	bool success = is_success(s->def, status);
	char text[64];

	s->last_status = status;
	s->ended = true;
	proc_status_text(status, text);
	if (!success && !is_explained(s))
		snprintf(s->why, sizeof(s->why), "%s", text);
	switch (s->state) {
	case SVC_STARTING:
		if (success && s->def->type != SVC_ONESHOT && s->def->type != SVC_FORKING)
			snprintf(s->why, sizeof(s->why), "ended before it was ready");
		exited_starting(m, s, status, success);
		break;
	case SVC_UP:
	case SVC_HOLDING:
		/* A holding service goes down for good; its dependents were told already. */
		if (s->state == SVC_HOLDING)
			svc_died(m, s, SVC_FATE_DOWN);
		else
			svc_died(m, s, success ? SVC_FATE_SUCCESS : SVC_FATE_FAILURE);
		break;
	case SVC_STOPPING:
		if (s->leaves)
			s->fate = success ? SVC_FATE_SUCCESS : SVC_FATE_FAILURE;
		if (s->leaves && success)
			s->why[0] = '\0';
		if (s->aux < 0 || s->leaves)
			svc_begin_kill(m, s);
		break;
	case SVC_KILLING:
		if (!svc_has_processes(m, s))
			svc_finish(m, s);
		break;
	default:
		break;
	}
}

void svc_aux_exited(struct svc_mgr *m, struct svc *s, int status)
{
	s->aux_status = status; /* of a stop command it changes nothing: the signal follows */
	if (s->state == SVC_KILLING && !svc_has_processes(m, s)) {
		svc_finish(m, s);
	} else if (s->state == SVC_STOPPING && !s->aux_is_stop) {
		if (!s->leaves)
			svc_ask_to_stop(m, s);
	} else if (s->state == SVC_STOPPING) {
		svc_after_command(m, s);
	}
	svc_queue_act(m, s);
}

void svc_conn_ended(struct svc_mgr *m, struct svc *s)
{
	if (s->state == SVC_KILLING && !svc_has_processes(m, s))
		svc_finish(m, s);
	else if (s->state == SVC_STOPPING && !s->nconns && s->aux < 0)
		svc_begin_kill(m, s);
	svc_queue_act(m, s);
}

void svc_ready(struct svc_mgr *m, struct svc *s)
{
	if (s->state != SVC_STARTING || s->def->type != SVC_NOTIFY)
		return;
	svc_come_up(m, s);
	svc_alive(m, s);
}

void svc_alive(struct svc_mgr *m, struct svc *s)
{
	if (s->state == SVC_UP && s->def->alive_timeout && s->pid >= 0) {
		svc_set_deadline(m, s, s->def->alive_timeout);
		svc_queue_act(m, s);
	}
}

void svc_extend(struct svc_mgr *m, struct svc *s, uint64_t wait)
{
	uint64_t until = m->ops->now() + wait;

	if ((s->state != SVC_STARTING && s->state != SVC_STOPPING) || !s->deadline ||
	    until <= s->deadline)
		return;
	s->deadline = until;
	m->ops->timer(s, until);
	svc_queue_act(m, s);
}

/* What it requires may stop from now on, and who requires it does; nothing is sent to it. */
void svc_leaves(struct svc_mgr *m, struct svc *s)
{
	if (s->state != SVC_UP || s->pid < 0 || s->def->type != SVC_NOTIFY)
		return;
	s->fate = SVC_FATE_FAILURE;
	s->leaves = true;
	snprintf(s->why, sizeof(s->why), "did not end in time after STOPPING=1");
	svc_set_state(m, s, SVC_STOPPING);
	svc_set_deadline(m, s, s->def->stop_timeout);
}

void svc_not_ready(struct svc_mgr *m, struct svc *s)
{
	if (s->state != SVC_STARTING)
		return;
	snprintf(s->why, sizeof(s->why), "closed its notification descriptor unready");
	svc_begin_stop(m, s, SVC_FATE_FAILURE);
}

static void poll_pid_file(struct svc_mgr *m, struct svc *s)
{
	int r = m->ops->adopt(s);

	if (r == 0) {
		s->pid_wait = false;
		svc_come_up(m, s);
	} else if (r != -EAGAIN || (s->deadline && m->ops->now() >= s->deadline)) {
		s->pid_wait = false;
		if (r == -EAGAIN)
			snprintf(s->why, sizeof(s->why), "its pid file names no process of its");
		svc_died(m, s, SVC_FATE_FAILURE);
	} else {
		m->ops->timer(s, m->ops->now() + 20 * MS);
	}
}

/* It hangs in the kernel: who waits for it goes on without. */
static void look_stuck(struct svc_mgr *m, struct svc *s)
{
	if (s->stuck || m->ops->now() - s->since < SVC_STUCK)
		return;
	s->stuck = true;
	snprintf(s->why, sizeof(s->why), "does not die");
	svc_queue_neighbours(m, s);
	m->ops->changed(s, SVC_KILLING);
}

static void timeout_up(struct svc_mgr *m, struct svc *s)
{
	if ((s->def->activate || s->def->accept) && s->pid < 0) {
		m->ops->listen(s, true);
	} else if (s->def->timed && s->pid < 0 && s->goal) {
		if (s->due) /* else it is a second try */
			s->run_due = s->due;
		svc_run_now(m, s);
	} else if (s->def->alive_timeout && s->pid >= 0) {
		snprintf(s->why, sizeof(s->why), "gave no sign of life");
		svc_begin_stop(m, s, SVC_FATE_FAILURE);
	} else if (s->def->timed && s->pid >= 0) {
		snprintf(s->why, sizeof(s->why), "ran longer than its run-timeout");
		svc_begin_stop(m, s, SVC_FATE_FAILURE);
	}
}

void svc_clock_changed(struct svc_mgr *m)
{
	for (size_t i = 0; i < m->set->n; i++)
		if (m->v[i]->due && m->v[i]->def->ncalendars)
			svc_rest_until_due(m, m->v[i]);
}

void svc_timeout(struct svc_mgr *m, struct svc *s)
{
	switch (s->state) {
	case SVC_STARTING:
		if (s->pid_wait) {
			poll_pid_file(m, s);
			break;
		}
		snprintf(s->why, sizeof(s->why), "start timed out");
		svc_begin_stop(m, s, SVC_FATE_FAILURE);
		break;
	case SVC_UP:
		timeout_up(m, s);
		break;
	case SVC_BACKOFF:
		svc_set_state(m, s, SVC_WAITING);
		break;
	case SVC_STOPPING:
		svc_begin_kill(m, s);
		break;
	case SVC_KILLING:
		if (!svc_has_processes(m, s)) {
			svc_finish(m, s);
			break;
		}
		look_stuck(m, s);
		m->ops->kill(s);
		svc_look_again(m, s);
		break;
	default:
		break;
	}
}
