/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Loads: from one service set to the next, while services run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init/svc-inside.h"

void svc_load_plan(const struct svc_mgr *m, const struct svc_set *next, uint8_t *out_old,
		   uint8_t *out_new)
{
	svc_set_compare(m->set, next, out_old, out_new);
	/* What does not run is not stopped, and is not restarted but at most started. */
	for (size_t i = 0; i < next->n; i++) {
		int j = svc_set_find(m->set, slice_of(next->v[i]->name));
		if (j < 0 || out_new[i] != SVC_RESTART || svc_is_active(m->v[j]) ||
		    m->v[j]->state == SVC_BACKOFF)
			continue;
		bool wish = m->v[j]->barred ? false : m->v[j]->wish || next->v[i]->enabled;
		out_new[i] = out_old[j] = wish ? SVC_START : SVC_LATER;
	}
}

int svc_load(struct svc_mgr *m, struct svc_set *next)
{
	int r = svc_refused(m);
	uint8_t *out_old = calloc(m->set->n + next->n + 1, 1);

	if (r == 0 && !out_old)
		r = -ENOMEM;
	if (r < 0) {
		free(out_old);
		svc_set_free(next);
		return r;
	}
	svc_load_plan(m, next, out_old, out_old + m->set->n);
	for (size_t j = 0; j < m->set->n; j++) {
		m->v[j]->leaving = out_old[j] == SVC_STOP || out_old[j] == SVC_RESTART;
		if (m->v[j]->leaving)
			svc_queue_goal(m, m->v[j]);
	}
	free(out_old);
	m->pending = next;
	m->load_error = 0;
	m->load_culprit[0] = '\0';
	return 0;
}

/* A service in both sets: wishes and failures after its definition changed. */
static void carry_over(struct svc *s, const struct svc_def *next, bool changed)
{
	const struct svc_def *old = s->def;

	if (changed) {
		if (old->enabled && !next->enabled)
			s->wish = false;
		else if (next->enabled && !s->barred)
			s->wish = true;
		if (s->state == SVC_FAILED || s->state == SVC_DONE) {
			s->state = SVC_DOWN;
			svc_rest(s);
		}
		s->stale = svc_is_active(s);
	}
	s->leaving = false;
	s->def = next;
}

/* All arrays first, so that a failure changes nothing. */
static int switch_sets(struct svc_mgr *m)
{
	struct svc_set *next = m->pending, *old = m->set;
	struct svc **v = calloc(next->n + 1, sizeof(struct svc *)), **old_v = m->v;
	uint16_t *scratch = calloc(next->n + 1, sizeof(*scratch));
	bool *fresh = calloc(next->n + 1, sizeof(*fresh));
	int r = v && scratch && fresh ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < next->n; i++) {
		int j = svc_set_find(old, slice_of(next->v[i]->name));
		fresh[i] = j < 0;
		v[i] = j < 0 ? svc_new(next->v[i], i) : old_v[j];
		if (!v[i])
			r = -ENOMEM;
	}
	if (r < 0) {
		for (size_t i = 0; v && fresh && i < next->n; i++)
			if (fresh[i])
				free(v[i]);
		free(v);
		free(scratch);
		free(fresh);
		return r;
	}
	if (m->ops->switching)
		m->ops->switching(false);
	for (size_t i = 0; i < next->n; i++) {
		struct svc *s = v[i];
		if (fresh[i])
			s->wish = next->v[i]->enabled;
		else
			carry_over(s, next->v[i],
				   memcmp(s->def->id, next->v[i]->id, sizeof(s->def->id)) != 0);
		if (!fresh[i])
			old_v[s->index] = NULL;
		s->index = (uint16_t)i;
		svc_commit(m, s);
	}
	for (size_t j = 0; j < old->n; j++) {
		if (old_v[j]) {
			m->ops->listen(old_v[j], false);
			m->ops->changed(old_v[j], SVC_STATE_MAX); /* leaves for good */
			free(old_v[j]);
		}
	}
	m->set = next;
	m->v = v;
	free(m->scratch);
	m->scratch = scratch;
	m->pending = NULL;
	m->goal_head = m->goal_tail = m->act_head = m->act_tail = NULL;
	for (size_t i = 0; i < next->n; i++) {
		v[i]->in_goal_queue = v[i]->in_act_queue = false;
		v[i]->goal = false;
		v[i]->pulls = 0;
	}
	for (size_t i = 0; i < next->n; i++) {
		svc_queue_goal(m, v[i]);
		svc_queue_act(m, v[i]);
	}
	if (m->ops->switching)
		m->ops->switching(true);
	svc_set_free(old);
	free(old_v);
	free(fresh);
	return 0;
}

static bool load_may_switch(const struct svc_mgr *m)
{
	for (size_t j = 0; j < m->set->n; j++)
		if (m->v[j]->leaving && (svc_is_active(m->v[j]) || m->v[j]->goal))
			return false;
	return true;
}

/* Somebody whom a load waits for and who does not die. */
static const struct svc *load_culprit(const struct svc_mgr *m)
{
	for (size_t j = 0; j < m->set->n; j++)
		if (m->v[j]->leaving && m->v[j]->stuck)
			return m->v[j];
	return NULL;
}

/* The old set stays, and what was stopped comes up again. */
static void abandon_load(struct svc_mgr *m, int why)
{
	m->load_error = why;
	svc_set_free(m->pending);
	m->pending = NULL;
	for (size_t j = 0; j < m->set->n; j++) {
		m->v[j]->leaving = false;
		svc_queue_goal(m, m->v[j]);
	}
}

void svc_settle(struct svc_mgr *m)
{
	const struct svc *culprit;
	int r = 0;

	svc_drain(m);
	if (!m->pending)
		return;
	if ((culprit = load_culprit(m))) {
		snprintf(m->load_culprit, sizeof(m->load_culprit), "%s", culprit->name);
		r = -ETIMEDOUT;
	} else if (load_may_switch(m)) {
		r = switch_sets(m);
	} else {
		return;
	}
	if (r < 0)
		abandon_load(m, r);
	svc_drain(m);
}

void svc_resume(struct svc_mgr *m, bool switching)
{
	if (switching && m->pending) {
		int r = switch_sets(m);
		if (r < 0)
			abandon_load(m, r);
	}
	for (size_t i = 0; i < m->set->n; i++) {
		if (!m->pending)
			m->v[i]->leaving = false;
		svc_queue_goal(m, m->v[i]);
	}
	svc_drain_goals(m); /* what an event leads to depends on them */
	for (size_t i = 0; i < m->set->n; i++)
		svc_resume_one(m, m->v[i]);
}
