/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/svc.h"

#include <errno.h>

#include "init/def.h"
#include "init/svc-inside.h"

const char *const svc_state_names[SVC_STATE_MAX] = {
	[SVC_DOWN] = "down",	     [SVC_WAITING] = "waiting",
	[SVC_STARTING] = "starting", [SVC_UP] = "up",
	[SVC_BACKOFF] = "backoff",   [SVC_HOLDING] = "holding",
	[SVC_STOPPING] = "stopping", [SVC_KILLING] = "killing",
	[SVC_DONE] = "done",	     [SVC_FAILED] = "failed",
};

/* ---- queues ----------------------------------------------------------------------------------*/

void svc_queue_goal(struct svc_mgr *m, struct svc *s)
{
	if (s->in_goal_queue)
		return;
	s->in_goal_queue = true;
	s->next_goal = NULL;
	if (m->goal_tail)
		m->goal_tail->next_goal = s;
	else
		m->goal_head = s;
	m->goal_tail = s;
}

void svc_queue_act(struct svc_mgr *m, struct svc *s)
{
	if (s->in_act_queue)
		return;
	s->in_act_queue = true;
	s->next_act = NULL;
	if (m->act_tail)
		m->act_tail->next_act = s;
	else
		m->act_head = s;
	m->act_tail = s;
}

/* Everybody whose decision may depend on the state of s. */
void svc_queue_neighbours(struct svc_mgr *m, struct svc *s)
{
	struct svc *o;

	svc_queue_act(m, s);
	EACH(m, s, from, SVC_REQ, o)
	{
		svc_queue_act(m, o);
	}
	EACH(m, s, from, SVC_ORDER, o)
	{
		svc_queue_act(m, o);
	}
	EACH(m, s, to, SVC_ORDER, o)
	{
		svc_queue_act(m, o);
	}
	EACH(m, s, from, SVC_CONFLICT, o)
	{
		svc_queue_act(m, o);
	}
	EACH(m, s, to, SVC_CONFLICT, o)
	{
		svc_queue_act(m, o);
	}
}

void svc_set_state(struct svc_mgr *m, struct svc *s, enum svc_state state)
{
	enum svc_state old = s->state;

	if (old == state)
		return;
	s->state = state;
	s->since = m->ops->now();
	if (!s->begun && state == SVC_STARTING)
		s->begun = (uint32_t)(s->since / MS);
	if (!s->ready && (state == SVC_UP || state == SVC_DONE))
		s->ready = (uint32_t)(s->since / MS);
	if (state != SVC_FAILED)
		s->broken = false;
	if (state != SVC_KILLING)
		s->stuck = false;
	if (state != SVC_UP)
		s->due = 0;
	s->recovers &= state == SVC_KILLING || state == SVC_BACKOFF || state == SVC_WAITING ||
		       state == SVC_STARTING;
	svc_queue_neighbours(m, s);
	m->ops->changed(s, old);
}

void svc_commit(struct svc_mgr *m, struct svc *s)
{
	if (m->ops->commit)
		m->ops->commit(s);
}

void svc_commit_queued(struct svc_mgr *m)
{
	for (struct svc *s = m->goal_head; s; s = s->next_goal)
		svc_commit(m, s);
	for (struct svc *s = m->act_head; s; s = s->next_act)
		svc_commit(m, s);
}

void svc_set_deadline(struct svc_mgr *m, struct svc *s, uint64_t wait)
{
	s->deadline = wait ? m->ops->now() + wait : 0;
	m->ops->timer(s, s->deadline);
}

/* ---- looking ---------------------------------------------------------------------------------*/

bool svc_is_active(const struct svc *s)
{
	return s->state == SVC_STARTING || s->state == SVC_UP || s->state == SVC_HOLDING ||
	       s->state == SVC_STOPPING || s->state == SVC_KILLING;
}

bool svc_is_settled(const struct svc *s)
{
	switch (s->state) {
	case SVC_UP:
		return s->goal && !s->bounce;
	case SVC_DOWN:
		return !s->goal;
	case SVC_DONE:
	case SVC_FAILED:
	case SVC_BACKOFF:
		return true;
	case SVC_KILLING:
		return s->stuck;
	default:
		return false;
	}
}

bool svc_all_settled(const struct svc_mgr *m)
{
	if (m->pending)
		return false;
	for (size_t i = 0; i < m->set->n; i++)
		if (!svc_is_settled(m->v[i]))
			return false;
	return true;
}

uint32_t svc_name_hash(const struct svc *s)
{
	return (uint32_t)svc_hash(0, s->name, strlen(s->name));
}

struct svc *svc_mgr_find(const struct svc_mgr *m, struct slice name)
{
	int i = svc_set_find(m->set, name);

	return i < 0 ? NULL : m->v[i];
}

/* ---- the table -------------------------------------------------------------------------------*/

struct svc *svc_new(const struct svc_def *d, size_t index)
{
	struct svc *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->def = d;
	snprintf(s->name, sizeof(s->name), "%s", d->name);
	s->index = (uint16_t)index;
	s->pid = s->aux = s->pidfd = s->auxfd = s->log_read = s->log_write = -1;
	s->ready_src.fd = s->main_src.fd = -1;
	for (size_t i = 0; i < LIMIT_SVC_LISTEN; i++)
		s->listen_fd[i] = -1;
	return s;
}

int svc_mgr_init(struct svc_mgr *m, struct svc_set *set, const struct svc_ops *ops)
{
	*m = (struct svc_mgr){ .set = set, .ops = ops };
	m->v = calloc(set->n + 1, sizeof(struct svc *));
	m->scratch = calloc(set->n + 1, sizeof(*m->scratch));
	if (!m->v || !m->scratch)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++) {
		m->v[i] = svc_new(set->v[i], i);
		if (!m->v[i])
			return -ENOMEM;
		m->v[i]->wish = set->v[i]->enabled;
	}
	for (size_t i = 0; i < set->n; i++)
		svc_queue_goal(m, m->v[i]);
	return 0;
}

void svc_mgr_done(struct svc_mgr *m)
{
	for (size_t i = 0; m->v && i < m->set->n; i++)
		free(m->v[i]);
	free(m->v);
	free(m->scratch);
	svc_set_free(m->set);
	svc_set_free(m->pending);
	*m = (struct svc_mgr){ 0 };
}

void svc_drain_goals(struct svc_mgr *m)
{
	struct svc *s;

	while ((s = m->goal_head)) {
		m->goal_head = s->next_goal;
		if (!m->goal_head)
			m->goal_tail = NULL;
		s->in_goal_queue = false;
		svc_update_goal(m, s);
		svc_commit(m, s);
	}
}

void svc_drain(struct svc_mgr *m)
{
	struct svc *s;

	while (m->goal_head || m->act_head) {
		svc_drain_goals(m);
		s = m->act_head;
		if (!s)
			continue;
		m->act_head = s->next_act;
		if (!m->act_head)
			m->act_tail = NULL;
		s->in_act_queue = false;
		svc_step(m, s);
		svc_commit(m, s);
	}
}
