/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who is wanted: requests are kept as wishes, and a goal is computed from all of them. */
#include <errno.h>

#include "init/svc-inside.h"

void svc_rest(struct svc *s)
{
	s->restarts = s->streak = 0;
	s->why[0] = '\0';
}

/* Add o to the services in m->scratch, of which there are n, unless it is there. */
static size_t scratch_add(struct svc_mgr *m, size_t n, const struct svc *o)
{
	for (size_t k = 0; k < n; k++)
		if (m->scratch[k] == o->index)
			return n;
	m->scratch[n] = o->index;
	return n + 1;
}

/* A request to start forgets earlier failures of what it needs. */
static void clear_for_start(struct svc_mgr *m, struct svc *s)
{
	size_t n = 0;
	struct svc *o;

	m->scratch[n++] = s->index;
	for (size_t i = 0; i < n; i++) {
		struct svc *x = m->v[m->scratch[i]];
		x->barred = false;
		if (x->state == SVC_FAILED || x->state == SVC_DONE) {
			svc_rest(x);
			svc_set_state(m, x, SVC_DOWN);
		}
		svc_queue_goal(m, x);
		EACH(m, x, to, SVC_REQ, o)
		{
			n = scratch_add(m, n, o);
		}
		EACH(m, x, to, SVC_MILESTONE, o)
		{
			n = scratch_add(m, n, o);
		}
	}
}

int svc_refused(const struct svc_mgr *m)
{
	if (m->down)
		return -ESHUTDOWN;
	return m->pending ? -EBUSY : 0;
}

int svc_start(struct svc_mgr *m, struct svc *s)
{
	int r = svc_refused(m);

	if (r == 0 && s->def->masked)
		r = -EPERM;
	if (r < 0)
		return r;
	s->wish = true;
	if (s->state == SVC_BACKOFF) {
		svc_rest(s);
		m->ops->timer(s, 0);
		svc_set_state(m, s, SVC_WAITING);
	}
	clear_for_start(m, s);
	return 0;
}

int svc_stop(struct svc_mgr *m, struct svc *s)
{
	size_t n = 0;
	struct svc *o;
	int r = svc_refused(m);

	if (r < 0)
		return r;
	m->scratch[n++] = s->index;
	for (size_t i = 0; i < n; i++) {
		struct svc *x = m->v[m->scratch[i]];
		x->wish = x->bounce = false;
		x->barred = true;
		svc_queue_goal(m, x);
		EACH(m, x, from, SVC_REQ, o)
		{
			n = scratch_add(m, n, o);
		}
	}
	return 0;
}

int svc_restart(struct svc_mgr *m, struct svc *s)
{
	int r = svc_refused(m);

	if (r < 0)
		return r;
	if (!s->goal || !svc_is_active(s))
		return svc_start(m, s);
	s->bounce = true;
	svc_rest(s);
	svc_queue_act(m, s);
	return 0;
}

int svc_reload(struct svc_mgr *m, struct svc *s)
{
	int r = svc_refused(m);

	if (r < 0)
		return r;
	if (s->state != SVC_UP || (s->pid < 0 && !s->def->reload_exec))
		return -ENODATA;
	if (!s->def->reload_exec) {
		m->ops->signal(s, (unsigned)s->def->reload_signal);
		return 0;
	}
	if (s->aux >= 0)
		return -EBUSY;
	s->aux_is_stop = false;
	return m->ops->run_aux(s, s->def->reload_exec);
}

int svc_action(struct svc_mgr *m, struct svc *s, struct slice action)
{
	const char *const *argv = NULL;
	int r = svc_refused(m);

	for (size_t i = 0; i < s->def->nactions; i++)
		if (slice_is(action, s->def->actions[i][0]))
			argv = s->def->actions[i] + 1;
	if (r == 0 && !argv)
		r = -ENOENT;
	if (r == 0 && s->state != SVC_UP)
		r = -ENODATA;
	if (r == 0 && s->aux >= 0)
		r = -EALREADY;
	if (r < 0)
		return r;
	s->aux_is_stop = false;
	return m->ops->run_aux(s, argv);
}

void svc_overridden(struct svc_mgr *m)
{
	for (size_t i = 0; i < m->set->n; i++)
		svc_queue_goal(m, m->v[i]);
}

void svc_shutdown(struct svc_mgr *m)
{
	m->down = true;
	svc_set_free(m->pending);
	m->pending = NULL;
	for (size_t i = 0; i < m->set->n; i++)
		svc_queue_goal(m, m->v[i]);
}

/* One service stops for the sake of a conflicting one, without its dependents being told: they
 * see it go down. */
static void bar_conflict(struct svc_mgr *m, struct svc *o)
{
	if (!o->goal && !o->wish)
		return;
	o->wish = false;
	o->barred = true;
	svc_queue_goal(m, o);
}

void svc_update_goal(struct svc_mgr *m, struct svc *s)
{
	/* Before a switch to another set only what leaves is let go: who is not wanted any more is
	 * seen after it. */
	bool stays = m->pending && (s->state == SVC_STARTING || s->state == SVC_UP);
	bool goal = !m->down && !s->barred && !s->leaving && !s->def->masked &&
		    (s->wish || s->pulls > 0 || stays);
	struct svc *o;

	if (goal == s->goal)
		return;
	s->goal = goal;
	svc_queue_neighbours(m, s);
	for (int kind = SVC_REQ; kind <= SVC_MILESTONE; kind++) {
		EACH(m, s, to, kind, o)
		{
			o->pulls = (uint16_t)(o->pulls + (goal ? 1 : -1));
			svc_queue_goal(m, o);
		}
	}
	if (!goal)
		return;
	EACH(m, s, to, SVC_CONFLICT, o)
	{
		bar_conflict(m, o);
	}
	EACH(m, s, from, SVC_CONFLICT, o)
	{
		bar_conflict(m, o);
	}
}
