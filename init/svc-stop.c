/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stopping one service: the question, then KILL, then looking until nothing is left. */
#include "init/svc-inside.h"

void svc_look_again(struct svc_mgr *m, struct svc *s)
{
	s->kill_pause = s->kill_pause ? s->kill_pause * 2 : 2 * MS;
	if (s->kill_pause > 1000 * MS)
		s->kill_pause = 1000 * MS;
	m->ops->timer(s, m->ops->now() + s->kill_pause);
}

bool svc_has_processes(struct svc_mgr *m, struct svc *s)
{
	if (s->pid >= 0 || s->aux >= 0 || (s->nconns && !s->def->scope_main))
		return true;
	return !s->def->scope_main && m->ops->left_over(s);
}

void svc_begin_kill(struct svc_mgr *m, struct svc *s)
{
	m->ops->listen(s, false);
	if (!svc_has_processes(m, s)) {
		svc_finish(m, s);
		return;
	}
	s->kill_pause = 0;
	svc_set_state(m, s, SVC_KILLING);
	m->ops->kill(s);
	svc_look_again(m, s);
}

/* The stop command or the signal goes out. */
void svc_ask_to_stop(struct svc_mgr *m, struct svc *s)
{
	const struct svc_def *d = s->def;
	bool command = d->stop_exec && !s->skipped &&
		       (s->pid >= 0 || d->type == SVC_ONESHOT || d->type == SVC_FORKING);

	s->skipped = false;
	if (command) {
		s->aux_is_stop = true;
		if (m->ops->run_aux(s, d->stop_exec) < 0)
			command = false;
	}
	if (!command && s->pid >= 0) {
		m->ops->signal(s, (unsigned)d->stop_signal);
		s->asked = true;
	}
	if (!command && s->pid < 0 && s->nconns && !s->def->scope_main)
		m->ops->signal(s, (unsigned)d->stop_signal);
	else if (!command && s->pid < 0)
		svc_begin_kill(m, s);
}

void svc_begin_stop(struct svc_mgr *m, struct svc *s, enum svc_fate fate)
{
	s->fate = fate;
	s->leaves = s->asked = s->aux_is_stop = false;
	m->ops->listen(s, false);
	svc_set_state(m, s, SVC_STOPPING);
	svc_set_deadline(m, s, s->def->stop_timeout);
	/* A reload that runs is in vain now; its end goes on with the stop. */
	if (s->aux >= 0)
		m->ops->kill_aux(s);
	else
		svc_ask_to_stop(m, s);
}

void svc_after_command(struct svc_mgr *m, struct svc *s)
{
	if (s->pid < 0) {
		svc_begin_kill(m, s);
		return;
	}
	m->ops->signal(s, (unsigned)s->def->stop_signal);
	s->asked = true;
}
