/* SPDX-License-Identifier: GPL-3.0-or-later */
/* In the middle of something, as the life before left it. */
#include "init/svc-inside.h"

static void resume_stop(struct svc_mgr *m, struct svc *s)
{
	if (s->leaves || s->asked)
		return;
	if (s->aux >= 0 && !s->aux_is_stop)
		m->ops->kill_aux(s);
	else if (s->aux < 0 && s->aux_is_stop)
		svc_after_command(m, s);
	else if (s->aux < 0)
		svc_ask_to_stop(m, s);
}

/* Its fields are as they were at some moment between two steps. */
void svc_resume_one(struct svc_mgr *m, struct svc *s)
{
	switch (s->state) {
	case SVC_STARTING:
		if (s->pid < 0 && !s->pid_wait)
			svc_set_state(m, s, SVC_WAITING); /* it was not started */
		else if (s->def->type == SVC_SIMPLE)
			svc_come_up(m, s);
		else if (!s->deadline)
			svc_set_deadline(m, s, s->def->start_timeout);
		break;
	case SVC_UP:
		if (s->def->accept || (s->def->activate && s->pid < 0 && !s->timer.index))
			m->ops->listen(s, true);
		else if (s->def->timed && s->pid < 0 && !s->timer.index)
			svc_rest_until_due(m, s);
		break;
	case SVC_BACKOFF:
		if (!s->timer.index)
			m->ops->timer(s, m->ops->now());
		break;
	case SVC_STOPPING:
		resume_stop(m, s);
		break;
	case SVC_KILLING:
		m->ops->timer(s, m->ops->now());
		break;
	default:
		break;
	}
	svc_queue_act(m, s);
}
