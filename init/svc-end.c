/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What becomes of a service whose last process is gone: down, done, failed, or once more. */
#include "init/svc-inside.h"

void svc_fail(struct svc_mgr *m, struct svc *s, const char *why)
{
	if (why)
		snprintf(s->why, sizeof(s->why), "%s", why);
	m->ops->timer(s, 0);
	svc_set_state(m, s, SVC_FAILED);
}

/* Count a restart. true with the wait before it, false when the limit is reached. */
static bool may_restart(struct svc_mgr *m, struct svc *s, uint64_t *ret_wait)
{
	const struct svc_def *d = s->def;
	uint64_t now = m->ops->now(), wait = 0;

	if (s->started == 0 || now - s->started > d->restart_window)
		s->streak = 0;
	if (now - s->window > d->restart_window || s->restarts == 0) {
		s->window = now;
		s->restarts = 0;
	}
	if (d->restart_limit && s->restarts >= d->restart_limit)
		return false;
	s->restarts++;
	s->total_restarts++;
	if (s->streak > 0) {
		wait = d->restart_delay;
		for (unsigned i = 1; i < s->streak && wait < d->restart_delay_max; i++)
			wait *= 2;
		if (wait > d->restart_delay_max)
			wait = d->restart_delay_max;
	}
	s->streak++;
	*ret_wait = wait;
	return true;
}

/* A timed service without a process: up until its time comes. What the last run failed of stays
 * to be seen. */
void svc_rest_until_due(struct svc_mgr *m, struct svc *s)
{
	svc_set_state(m, s, SVC_UP);
	s->due = s->deadline = m->ops->next_run(s);
	m->ops->timer(s, s->due);
	svc_queue_act(m, s); /* a plan is to be kept even if no state changed */
}

static void try_again(struct svc_mgr *m, struct svc *s)
{
	uint64_t wait = 0;

	if (!s->goal || s->bounce) {
		s->bounce = false;
		svc_set_state(m, s, SVC_DOWN);
	} else if (!may_restart(m, s, &wait)) {
		if (s->def->timed) {
			svc_rest_until_due(m, s);
			return;
		}
		char why[sizeof(s->why)];
		snprintf(why, sizeof(why), "restart limit reached; last: %.80s", s->why);
		svc_fail(m, s, why);
	} else if (s->def->timed) {
		svc_set_deadline(m, s, wait ? wait : MS);
		svc_set_state(m, s, SVC_UP);
	} else if (s->def->activate) {
		svc_set_deadline(m, s, wait);
		svc_set_state(m, s, SVC_UP);
		if (wait == 0)
			m->ops->listen(s, true);
	} else if (wait == 0) {
		svc_set_state(m, s, SVC_WAITING);
		svc_queue_act(m, s);
	} else {
		svc_set_deadline(m, s, wait);
		svc_set_state(m, s, SVC_BACKOFF);
	}
}

/* An activated program that ended as it should waits for the next connection. The pause bounds what
 * one that does not accept costs. */
static void listen_later(struct svc_mgr *m, struct svc *s)
{
	svc_set_deadline(m, s, s->def->restart_delay);
	svc_set_state(m, s, SVC_UP);
	if (!s->deadline)
		m->ops->listen(s, true);
}

static void finish_run(struct svc_mgr *m, struct svc *s)
{
	svc_rest(s);
	svc_rest_until_due(m, s);
}

/* The last process is gone: go by the fate. */
void svc_finish(struct svc_mgr *m, struct svc *s)
{
	const struct svc_def *d = s->def;
	enum svc_fate fate = s->fate;

	m->ops->timer(s, 0);
	m->ops->gone(s);
	s->fate = SVC_FATE_DOWN;
	s->pid_wait = false;
	s->status[0] = '\0';
	if (fate == SVC_FATE_DOWN || (!s->goal && fate == SVC_FATE_SUCCESS)) {
		s->bounce = false;
		svc_set_state(m, s, SVC_DOWN);
	} else if (fate == SVC_FATE_SUCCESS) {
		if (d->activate)
			listen_later(m, s);
		else if (d->timed)
			finish_run(m, s);
		else if (d->restart == SVC_ALWAYS)
			try_again(m, s);
		else
			svc_set_state(m, s, SVC_DONE);
	} else if (d->timed && d->restart == SVC_NEVER) {
		svc_rest_until_due(m, s);
	} else if (d->restart == SVC_NEVER) {
		svc_fail(m, s, NULL);
	} else {
		try_again(m, s);
	}
}

/* Died by itself: what is left of it must not meet its successor. */
void svc_died(struct svc_mgr *m, struct svc *s, enum svc_fate fate)
{
	enum svc_restart policy = s->def->restart;

	s->fate = fate;
	if (s->state == SVC_UP && s->def->smooth && s->goal && !s->bounce)
		s->recovers = fate == SVC_FATE_FAILURE ? policy != SVC_NEVER : policy == SVC_ALWAYS;
	if (svc_has_processes(m, s))
		svc_begin_kill(m, s);
	else
		svc_finish(m, s);
}
