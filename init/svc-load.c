/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Loads: from one service set to the next, while services run. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init/svc-inside.h"

/* ---- what it will do -------------------------------------------------------------------------*/

static bool is_changed(const struct svc_def *old, const struct svc_def *next)
{
	return memcmp(old->id, next->id, sizeof(old->id)) != 0;
}

/* Whether s is wished for by its next definition. */
static bool wish_by(const struct svc *s, const struct svc_def *next)
{
	if (!is_changed(s->def, next))
		return s->wish;
	if (next->enabled)
		return s->wish || !s->barred;
	return s->wish && !s->def->enabled;
}

/* What becomes of a service: a goal, as svc_update_goal() will have it; and it cannot be up. */
enum { WISH = 1, BARRED = 2, GOAL = 4, QUEUED = 8, DEAD = 16 };

struct outlook {
	const struct svc_set *next;
	unsigned state[LIMIT_SVC_COUNT], pulls[LIMIT_SVC_COUNT], queue[LIMIT_SVC_COUNT];
	unsigned head, n; /* of the queue, a ring */
};

static void look_at(struct outlook *o, unsigned i)
{
	if (o->state[i] & QUEUED)
		return;
	o->state[i] |= QUEUED;
	o->queue[(o->head + o->n++) % LIMIT_SVC_COUNT] = i;
}

static void bar(struct outlook *o, const uint16_t *v, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		unsigned *s = &o->state[v[k]];
		if (!(*s & (GOAL | WISH)))
			continue;
		*s = (*s & ~(unsigned)WISH) | BARRED | DEAD;
		look_at(o, v[k]);
	}
}

static void foresee_goal(struct outlook *o, unsigned i)
{
	const struct svc_edges *g = &o->next->edges[i];
	unsigned *s = &o->state[i];
	bool goal = !(*s & BARRED) && ((*s & WISH) || o->pulls[i]);

	*s &= ~(unsigned)QUEUED;
	if (goal == !!(*s & GOAL))
		return;
	*s ^= GOAL;
	for (int kind = SVC_REQ; kind <= SVC_MILESTONE; kind++) {
		for (size_t k = 0; k < g->nto[kind]; k++) {
			uint16_t to = g->to[kind][k];
			o->pulls[to] += goal ? 1 : -1u;
			look_at(o, to);
		}
	}
	if (!goal)
		return;
	bar(o, g->to[SVC_CONFLICT], g->nto[SVC_CONFLICT]);
	bar(o, g->from[SVC_CONFLICT], g->nfrom[SVC_CONFLICT]);
}

/* What requires a dead one is dead. */
static bool spread_death(struct outlook *o, size_t i)
{
	const struct svc_edges *g = &o->next->edges[i];
	unsigned before = o->state[i];

	for (size_t k = 0; k < g->nto[SVC_REQ]; k++)
		o->state[i] |= o->state[g->to[SVC_REQ][k]] & DEAD;
	return o->state[i] != before;
}

/* The goals after the switch, conflicts included, by the same steps in the same order. */
static void foresee(const struct svc_mgr *m, struct outlook *o)
{
	const struct svc_set *next = o->next;

	for (unsigned i = 0; i < next->n; i++) {
		const struct svc *s = svc_mgr_find(m, slice_of(next->v[i]->name));
		bool wish = s ? wish_by(s, next->v[i]) : next->v[i]->enabled;
		bool barred = next->v[i]->masked || (s && s->barred);
		bool over = s && ((s->state == SVC_FAILED && !s->broken) || s->state == SVC_DONE) &&
			    !is_changed(s->def, next->v[i]);
		o->state[i] = (wish ? WISH : 0) | (barred ? BARRED | DEAD : over ? DEAD : 0);
		look_at(o, i);
	}
	while (o->n) {
		unsigned i = o->queue[o->head];
		o->head = (o->head + 1) % LIMIT_SVC_COUNT;
		o->n--;
		foresee_goal(o, i);
	}
	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < next->n; i++)
			again |= spread_death(o, i);
	}
}

static bool will_be_up(const struct outlook *o, size_t i)
{
	return (o->state[i] & (GOAL | DEAD)) == GOAL;
}

/* What does not run is not stopped or restarted, but at most started. */
static uint8_t change_at_rest(const struct svc *s, const struct svc_def *next, bool goal)
{
	bool changed = !s || is_changed(s->def, next);

	if (goal && (changed || s->state == SVC_DOWN || s->broken))
		return SVC_START;
	return changed ? SVC_LATER : SVC_KEEP;
}

/* What does not run, and what will not be wanted. */
static void look(const struct svc_mgr *m, const struct outlook *o, uint8_t *out_old,
		 uint8_t *out_new)
{
	const struct svc_set *next = o->next;

	for (size_t i = 0; i < next->n; i++) {
		const struct svc *s = svc_mgr_find(m, slice_of(next->v[i]->name));
		bool rests = !s || (!svc_is_active(s) && s->state != SVC_BACKOFF);
		if (rests)
			out_new[i] = change_at_rest(s, next->v[i], will_be_up(o, i));
		else if (!will_be_up(o, i))
			out_new[i] = SVC_STOP;
		else
			continue;
		/* One whose process would have gone on stops by the order of the new set, and so
		 * takes nobody along who does not require it any more. */
		if (s && (rests || out_old[s->index] <= SVC_RELOAD))
			out_old[s->index] = rests ? out_new[i] : SVC_KEEP;
	}
}

void svc_load_plan(const struct svc_mgr *m, const struct svc_set *next, uint8_t *out_old,
		   uint8_t *out_new)
{
	struct outlook o = { .next = next };

	svc_set_compare(m->set, next, out_old, out_new);
	foresee(m, &o);
	look(m, &o, out_old, out_new);
	svc_set_spread(m->set, next, out_old, out_new);
	look(m, &o, out_old, out_new); /* what does not run does not restart */
}

/* ---- doing it --------------------------------------------------------------------------------*/

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
static void carry_over(struct svc *s, const struct svc_def *next)
{
	const struct svc_def *old = s->def;

	s->wish = wish_by(s, next);
	if (is_changed(old, next)) {
		if (s->state == SVC_FAILED || s->state == SVC_DONE) {
			s->state = SVC_DOWN;
			svc_rest(s);
		}
		s->reloads = old->plain_id == next->plain_id && svc_is_active(s);
		s->stale |= svc_is_active(s) && !s->reloads;
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
			carry_over(s, next->v[i]);
		if (!fresh[i])
			old_v[s->index] = NULL;
		s->index = i;
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
		svc_queue_act(m, m->v[j]);
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
