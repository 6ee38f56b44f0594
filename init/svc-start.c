/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Starting one service, when nothing is in its way. */
#include <errno.h>

#include "init/svc-inside.h"

void svc_come_up(struct svc_mgr *m, struct svc *s)
{
	m->ops->timer(s, 0);
	s->deadline = 0;
	s->why[0] = '\0';
	svc_set_state(m, s, SVC_UP);
}

void svc_launch(struct svc_mgr *m, struct svc *s)
{
	s->stale = s->reloads = false;
	memcpy(s->runs, s->def->id, sizeof(s->runs));
	s->fate = SVC_FATE_DOWN;
	s->deadline = 0;
	s->started = m->ops->now();
	s->skipped = !s->def->timed && !m->ops->condition(s);
	if (s->skipped || s->def->type == SVC_GROUP) {
		svc_come_up(m, s);
		return;
	}
	if (m->ops->open_sockets(s) < 0) {
		svc_fail(m, s, NULL);
		return;
	}
	if (s->def->activate || s->def->accept) {
		svc_come_up(m, s);
		m->ops->listen(s, true);
		return;
	}
	if (s->def->timed) {
		svc_come_up(m, s);
		s->run_due = 0;
		s->planned = 0;
		svc_rest_until_due(m, s);
		return;
	}
	svc_set_state(m, s, SVC_STARTING);
	if (m->ops->launch(s) < 0) {
		s->fate = SVC_FATE_FAILURE;
		svc_finish(m, s);
		return;
	}
	if (s->def->type == SVC_SIMPLE)
		svc_come_up(m, s);
	else
		svc_set_deadline(m, s, s->def->start_timeout);
}

/* Start the program of a service that is up without it. */
static void launch_up(struct svc_mgr *m, struct svc *s)
{
	m->ops->timer(s, 0);
	svc_queue_act(m, s);
	s->due = 0;
	s->started = m->ops->now();
	if (m->ops->launch(s) < 0)
		svc_died(m, s, SVC_FATE_FAILURE);
	else if (s->def->timed)
		svc_set_deadline(m, s, s->def->run_timeout);
}

void svc_run_now(struct svc_mgr *m, struct svc *s)
{
	m->ops->run_begins(s);
	if (m->ops->condition(s))
		launch_up(m, s);
	else
		svc_rest_until_due(m, s);
}

int svc_trigger(struct svc_mgr *m, struct svc *s)
{
	int r = svc_refused(m);

	if (r == 0 && (s->state != SVC_UP || !s->def->timed || !s->goal))
		r = -ENODATA;
	if (r == 0 && s->pid >= 0)
		r = -EALREADY;
	if (r == 0)
		svc_run_now(m, s);
	return r;
}

void svc_activated(struct svc_mgr *m, struct svc *s)
{
	if (s->state != SVC_UP || s->pid >= 0 || !s->goal)
		return;
	m->ops->listen(s, false);
	launch_up(m, s);
}
