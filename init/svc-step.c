/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The next step of one service towards its goal, and whether others are in the way. */
#include <errno.h>

#include "init/svc-inside.h"

/* It will not be up by itself. */
static bool is_dead(const struct svc *o)
{
	return o->state == SVC_FAILED || o->state == SVC_DONE || o->stuck ||
	       (o->state == SVC_DOWN && !o->goal && !o->leaving);
}

/* A milestone was reached also by what ended as it should. */
static bool is_reached(const struct svc *o)
{
	return o->state == SVC_UP || (o->state == SVC_DONE && !o->why[0]);
}

/* May start now? *ret_dead: something it requires cannot come up. */
static bool is_clear_to_start(struct svc_mgr *m, struct svc *s, struct svc **ret_dead)
{
	bool clear = true;
	struct svc *o;

	EACH(m, s, to, SVC_REQ, o)
	{
		if (o->state == SVC_UP)
			continue;
		clear = false;
		if (is_dead(o)) {
			*ret_dead = o;
			return false;
		}
	}
	EACH(m, s, to, SVC_MILESTONE, o)
	{
		if (is_reached(o))
			continue;
		clear = false;
		if (is_dead(o)) {
			*ret_dead = o;
			return false;
		}
	}
	EACH(m, s, to, SVC_ORDER, o)
	{
		if (o->state == SVC_WAITING || o->state == SVC_STARTING || svc_is_going_down(o) ||
		    (o->state == SVC_DOWN && o->goal))
			clear = false;
	}
	/* After a death: who requires s stops before s comes again, else it would not notice. */
	EACH(m, s, from, SVC_REQ, o)
	{
		clear &= s->recovers || !svc_will_end(o);
	}
	EACH(m, s, to, SVC_CONFLICT, o)
	{
		clear &= !svc_is_active(o);
		if (o->stuck)
			*ret_dead = o;
	}
	EACH(m, s, from, SVC_CONFLICT, o)
	{
		clear &= !svc_is_active(o);
		if (o->stuck)
			*ret_dead = o;
	}
	return clear;
}

static bool requirements_up(struct svc_mgr *m, struct svc *s)
{
	struct svc *o;

	EACH(m, s, to, SVC_REQ, o)
	{
		if (o->state != SVC_UP && !o->recovers)
			return false;
	}
	return true;
}

static bool milestones_reached(struct svc_mgr *m, struct svc *s)
{
	struct svc *o;

	EACH(m, s, to, SVC_MILESTONE, o)
	{
		if (!is_reached(o))
			return false;
	}
	return true;
}

/* One that s is bound to ended although it was wanted: s is not wanted any more. */
static void look_bound(struct svc_mgr *m, struct svc *s)
{
	struct svc *o;

	EACH(m, s, to, SVC_BIND, o)
	{
		if (o->state == SVC_UP || o->recovers || !o->goal || o->bounce)
			continue;
		snprintf(s->why, sizeof(s->why), "bound to %s, which ended", o->name);
		s->wish = s->bounce = false;
		s->barred = true;
		svc_queue_goal(m, s);
		return;
	}
}

/* Nobody who comes after s is in the way of its stopping. */
static bool is_clear_to_stop(struct svc_mgr *m, struct svc *s)
{
	struct svc *o;

	EACH(m, s, from, SVC_REQ, o)
	{
		if (svc_will_end(o))
			return false;
	}
	EACH(m, s, from, SVC_ORDER, o)
	{
		if (svc_is_going_down(o) || (svc_will_end(o) && !o->goal))
			return false;
	}
	return true;
}

static bool is_conflict(const struct svc_mgr *m, const struct svc *s, const struct svc *other)
{
	struct svc *o;

	EACH(m, s, to, SVC_CONFLICT, o)
	{
		if (o == other)
			return true;
	}
	EACH(m, s, from, SVC_CONFLICT, o)
	{
		if (o == other)
			return true;
	}
	return false;
}

/* Twice after a crash in between rather than never. */
static void reload_due(struct svc_mgr *m, struct svc *s)
{
	if (s->reloads && s->state == SVC_UP && s->aux < 0)
		s->reloads = svc_reload(m, s) == -EBUSY;
}

void svc_step(struct svc_mgr *m, struct svc *s)
{
	struct svc *dead = NULL;
	char why[sizeof(s->why)];

	switch (s->state) {
	case SVC_DOWN:
		if (s->goal)
			svc_set_state(m, s, SVC_WAITING);
		break;
	case SVC_WAITING:
		if (!s->goal) {
			svc_set_state(m, s, SVC_DOWN);
		} else if (is_clear_to_start(m, s, &dead)) {
			svc_launch(m, s);
		} else if (dead) {
			snprintf(why, sizeof(why), "%s %s, which %s%s",
				 is_conflict(m, s, dead) ? "conflicts with" : "requires",
				 dead->name, dead->stuck ? "does not die" : "is ",
				 dead->stuck ? "" : svc_state_names[dead->state]);
			svc_fail(m, s, why);
			s->broken = !is_conflict(m, s, dead);
		}
		break;
	case SVC_STARTING:
	case SVC_UP:
		if (s->goal && !s->bounce && requirements_up(m, s)) {
			reload_due(m, s);
			break;
		}
		if (s->goal)
			look_bound(m, s);
		svc_set_state(m, s, SVC_HOLDING);
		break;
	case SVC_BACKOFF:
		if (!s->goal) {
			m->ops->timer(s, 0);
			svc_set_state(m, s, SVC_DOWN);
		}
		break;
	case SVC_HOLDING:
		if (is_clear_to_stop(m, s))
			svc_begin_stop(m, s, SVC_FATE_DOWN);
		break;
	case SVC_DONE:
	case SVC_FAILED:
		if (!s->goal)
			svc_set_state(m, s, SVC_DOWN);
		else if (s->broken && requirements_up(m, s) && milestones_reached(m, s))
			svc_set_state(m, s, SVC_WAITING);
		break;
	default:
		break;
	}
}
