/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/svc.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "init/svc-inside.h"
#include "lib/err.h"
#include "lib/proc.h"

#define MS 1000000ull

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

static const struct svc_edges *edges(const struct svc_mgr *m, const struct svc *s)
{
	return &m->set->edges[s->index];
}

/* Iterate the services at the far end of one kind of edge. */
#define EACH(m, s, dir, kind, other)                                                               \
	for (size_t each_k = 0; each_k < edges(m, s)->n##dir[kind] &&                              \
				((other) = (m)->v[edges(m, s)->dir[kind][each_k]]);                \
	     each_k++)

/* Everybody whose decision may depend on the state of s. */
static void queue_neighbours(struct svc_mgr *m, struct svc *s)
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

static void set_state(struct svc_mgr *m, struct svc *s, enum svc_state state)
{
	enum svc_state old = s->state;

	if (old == state)
		return;
	s->state = state;
	s->since = m->ops->now();
	if (state != SVC_FAILED)
		s->broken = false;
	if (state != SVC_KILLING)
		s->stuck = false;
	if (state != SVC_UP)
		s->due = 0;
	s->recovers &= state == SVC_KILLING || state == SVC_BACKOFF || state == SVC_WAITING ||
		       state == SVC_STARTING;
	queue_neighbours(m, s);
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

static void set_deadline(struct svc_mgr *m, struct svc *s, uint64_t wait)
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

static bool is_going_down(const struct svc *s)
{
	return !s->stuck &&
	       (s->state == SVC_HOLDING || s->state == SVC_STOPPING || s->state == SVC_KILLING);
}

/* Active, and others may wait for its end. */
static bool will_end(const struct svc *s)
{
	return svc_is_active(s) && !s->stuck;
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

struct svc *svc_mgr_find(const struct svc_mgr *m, struct slice name)
{
	int i = svc_set_find(m->set, name);

	return i < 0 ? NULL : m->v[i];
}

/* ---- goals -----------------------------------------------------------------------------------*/

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
			set_state(m, x, SVC_DOWN);
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
		set_state(m, s, SVC_WAITING);
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

static void update_goal(struct svc_mgr *m, struct svc *s)
{
	bool goal = !m->down && !s->barred && !s->leaving && !s->def->masked &&
		    (s->wish || s->pulls > 0);
	struct svc *o;

	if (goal == s->goal)
		return;
	s->goal = goal;
	queue_neighbours(m, s);
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

/* ---- failing and trying again ----------------------------------------------------------------*/

static void fail(struct svc_mgr *m, struct svc *s, const char *why)
{
	if (why)
		snprintf(s->why, sizeof(s->why), "%s", why);
	m->ops->timer(s, 0);
	set_state(m, s, SVC_FAILED);
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
static void rest_until_due(struct svc_mgr *m, struct svc *s)
{
	set_state(m, s, SVC_UP);
	s->due = s->deadline = m->ops->next_run(s);
	m->ops->timer(s, s->due);
	svc_queue_act(m, s); /* a plan is to be kept even if no state changed */
}

static void try_again(struct svc_mgr *m, struct svc *s)
{
	uint64_t wait = 0;

	if (!s->goal || s->bounce) {
		s->bounce = false;
		set_state(m, s, SVC_DOWN);
	} else if (!may_restart(m, s, &wait)) {
		if (s->def->timed) {
			rest_until_due(m, s);
			return;
		}
		char why[sizeof(s->why)];
		snprintf(why, sizeof(why), "restart limit reached; last: %.80s", s->why);
		fail(m, s, why);
	} else if (s->def->timed) {
		set_deadline(m, s, wait ? wait : MS);
		set_state(m, s, SVC_UP);
	} else if (s->def->activate) {
		set_deadline(m, s, wait);
		set_state(m, s, SVC_UP);
		if (wait == 0)
			m->ops->listen(s, true);
	} else if (wait == 0) {
		set_state(m, s, SVC_WAITING);
		svc_queue_act(m, s);
	} else {
		set_deadline(m, s, wait);
		set_state(m, s, SVC_BACKOFF);
	}
}

/* An activated program that ended as it should waits for the next connection. The pause bounds what
 * one that does not accept costs. */
static void listen_later(struct svc_mgr *m, struct svc *s)
{
	set_deadline(m, s, s->def->restart_delay);
	set_state(m, s, SVC_UP);
	if (!s->deadline)
		m->ops->listen(s, true);
}

static void finish_run(struct svc_mgr *m, struct svc *s)
{
	svc_rest(s);
	rest_until_due(m, s);
}

/* The last process is gone: go by the fate. */
static void finish(struct svc_mgr *m, struct svc *s)
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
		set_state(m, s, SVC_DOWN);
	} else if (fate == SVC_FATE_SUCCESS) {
		if (d->activate)
			listen_later(m, s);
		else if (d->timed)
			finish_run(m, s);
		else if (d->restart == SVC_ALWAYS)
			try_again(m, s);
		else
			set_state(m, s, SVC_DONE);
	} else if (d->timed && d->restart == SVC_NEVER) {
		rest_until_due(m, s);
	} else if (d->restart == SVC_NEVER) {
		fail(m, s, NULL);
	} else {
		try_again(m, s);
	}
}

/* ---- stopping --------------------------------------------------------------------------------*/

static void look_again(struct svc_mgr *m, struct svc *s)
{
	s->kill_pause = s->kill_pause ? s->kill_pause * 2 : 2 * MS;
	if (s->kill_pause > 1000 * MS)
		s->kill_pause = 1000 * MS;
	m->ops->timer(s, m->ops->now() + s->kill_pause);
}

static bool has_processes(struct svc_mgr *m, struct svc *s)
{
	if (s->pid >= 0 || s->aux >= 0 || (s->nconns && !s->def->scope_main))
		return true;
	return !s->def->scope_main && m->ops->left_over(s);
}

static void begin_kill(struct svc_mgr *m, struct svc *s)
{
	m->ops->listen(s, false);
	if (!has_processes(m, s)) {
		finish(m, s);
		return;
	}
	s->kill_pause = 0;
	set_state(m, s, SVC_KILLING);
	m->ops->kill(s);
	look_again(m, s);
}

/* The stop command or the signal goes out. */
static void ask_to_stop(struct svc_mgr *m, struct svc *s)
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
		begin_kill(m, s);
}

static void begin_stop(struct svc_mgr *m, struct svc *s, enum svc_fate fate)
{
	s->fate = fate;
	s->leaves = s->asked = s->aux_is_stop = false;
	m->ops->listen(s, false);
	set_state(m, s, SVC_STOPPING);
	set_deadline(m, s, s->def->stop_timeout);
	/* A reload that runs is in vain now; its end goes on with the stop. */
	if (s->aux >= 0)
		m->ops->kill_aux(s);
	else
		ask_to_stop(m, s);
}

/* ---- starting --------------------------------------------------------------------------------*/

static void come_up(struct svc_mgr *m, struct svc *s)
{
	m->ops->timer(s, 0);
	s->deadline = 0;
	s->why[0] = '\0';
	set_state(m, s, SVC_UP);
}

static void launch(struct svc_mgr *m, struct svc *s)
{
	s->stale = false;
	s->fate = SVC_FATE_DOWN;
	s->deadline = 0;
	s->started = m->ops->now();
	s->skipped = !s->def->timed && !m->ops->condition(s);
	if (s->skipped || s->def->type == SVC_GROUP) {
		come_up(m, s);
		return;
	}
	if (m->ops->open_sockets(s) < 0) {
		fail(m, s, NULL);
		return;
	}
	if (s->def->activate || s->def->accept) {
		come_up(m, s);
		m->ops->listen(s, true);
		return;
	}
	if (s->def->timed) {
		come_up(m, s);
		s->run_due = 0;
		s->planned = 0;
		rest_until_due(m, s);
		return;
	}
	set_state(m, s, SVC_STARTING);
	if (m->ops->launch(s) < 0) {
		s->fate = SVC_FATE_FAILURE;
		finish(m, s);
		return;
	}
	if (s->def->type == SVC_SIMPLE)
		come_up(m, s);
	else
		set_deadline(m, s, s->def->start_timeout);
}

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
		if (o->state == SVC_WAITING || o->state == SVC_STARTING || is_going_down(o) ||
		    (o->state == SVC_DOWN && o->goal))
			clear = false;
	}
	/* After a death: who requires s stops before s comes again, else it would not notice. */
	EACH(m, s, from, SVC_REQ, o)
	{
		clear &= s->recovers || !will_end(o);
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
		if (will_end(o))
			return false;
	}
	EACH(m, s, from, SVC_ORDER, o)
	{
		if (is_going_down(o) || (will_end(o) && !o->goal))
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

static void act(struct svc_mgr *m, struct svc *s)
{
	struct svc *dead = NULL;
	char why[sizeof(s->why)];

	switch (s->state) {
	case SVC_DOWN:
		if (s->goal)
			set_state(m, s, SVC_WAITING);
		break;
	case SVC_WAITING:
		if (!s->goal) {
			set_state(m, s, SVC_DOWN);
		} else if (is_clear_to_start(m, s, &dead)) {
			launch(m, s);
		} else if (dead) {
			snprintf(why, sizeof(why), "%s %s, which %s%s",
				 is_conflict(m, s, dead) ? "conflicts with" : "requires",
				 dead->name, dead->stuck ? "does not die" : "is ",
				 dead->stuck ? "" : svc_state_names[dead->state]);
			fail(m, s, why);
			s->broken = !is_conflict(m, s, dead);
		}
		break;
	case SVC_STARTING:
	case SVC_UP:
		if (s->goal && !s->bounce && requirements_up(m, s))
			break;
		if (s->goal)
			look_bound(m, s);
		set_state(m, s, SVC_HOLDING);
		break;
	case SVC_BACKOFF:
		if (!s->goal) {
			m->ops->timer(s, 0);
			set_state(m, s, SVC_DOWN);
		}
		break;
	case SVC_HOLDING:
		if (is_clear_to_stop(m, s))
			begin_stop(m, s, SVC_FATE_DOWN);
		break;
	case SVC_DONE:
	case SVC_FAILED:
		if (!s->goal)
			set_state(m, s, SVC_DOWN);
		else if (s->broken && requirements_up(m, s) && milestones_reached(m, s))
			set_state(m, s, SVC_WAITING);
		break;
	default:
		break;
	}
}

/* ---- events ----------------------------------------------------------------------------------*/

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

/* Died by itself: what is left of it must not meet its successor. */
static void died(struct svc_mgr *m, struct svc *s, enum svc_fate fate)
{
	enum svc_restart policy = s->def->restart;

	s->fate = fate;
	if (s->state == SVC_UP && s->def->smooth && s->goal && !s->bounce)
		s->recovers = fate == SVC_FATE_FAILURE ? policy != SVC_NEVER : policy == SVC_ALWAYS;
	if (has_processes(m, s))
		begin_kill(m, s);
	else
		finish(m, s);
}

static void exited_starting(struct svc_mgr *m, struct svc *s, int status, bool success)
{
	if (s->def->type == SVC_ONESHOT && success) {
		s->why[0] = '\0';
		if (s->def->remain)
			come_up(m, s);
		else
			died(m, s, SVC_FATE_SUCCESS);
	} else if (s->def->type == SVC_FORKING && WIFEXITED(status) && success) {
		s->pid_wait = true;
		m->ops->timer(s, m->ops->now() + MS);
	} else {
		died(m, s, SVC_FATE_FAILURE);
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
			died(m, s, SVC_FATE_DOWN);
		else
			died(m, s, success ? SVC_FATE_SUCCESS : SVC_FATE_FAILURE);
		break;
	case SVC_STOPPING:
		if (s->leaves)
			s->fate = success ? SVC_FATE_SUCCESS : SVC_FATE_FAILURE;
		if (s->leaves && success)
			s->why[0] = '\0';
		if (s->aux < 0 || s->leaves)
			begin_kill(m, s);
		break;
	case SVC_KILLING:
		if (!has_processes(m, s))
			finish(m, s);
		break;
	default:
		break;
	}
}

static void after_command(struct svc_mgr *m, struct svc *s)
{
	if (s->pid < 0) {
		begin_kill(m, s);
		return;
	}
	m->ops->signal(s, (unsigned)s->def->stop_signal);
	s->asked = true;
}

void svc_aux_exited(struct svc_mgr *m, struct svc *s, int status)
{
	s->aux_status = status; /* of a stop command it changes nothing: the signal follows */
	if (s->state == SVC_KILLING && !has_processes(m, s)) {
		finish(m, s);
	} else if (s->state == SVC_STOPPING && !s->aux_is_stop) {
		if (!s->leaves)
			ask_to_stop(m, s);
	} else if (s->state == SVC_STOPPING) {
		after_command(m, s);
	}
}

void svc_conn_ended(struct svc_mgr *m, struct svc *s)
{
	if (s->state == SVC_KILLING && !has_processes(m, s))
		finish(m, s);
	else if (s->state == SVC_STOPPING && !s->nconns && s->aux < 0)
		begin_kill(m, s);
	svc_queue_act(m, s);
}

void svc_ready(struct svc_mgr *m, struct svc *s)
{
	if (s->state != SVC_STARTING || s->def->type != SVC_NOTIFY)
		return;
	come_up(m, s);
	svc_alive(m, s);
}

void svc_alive(struct svc_mgr *m, struct svc *s)
{
	if (s->state == SVC_UP && s->def->alive_timeout && s->pid >= 0) {
		set_deadline(m, s, s->def->alive_timeout);
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
	set_state(m, s, SVC_STOPPING);
	set_deadline(m, s, s->def->stop_timeout);
}

void svc_not_ready(struct svc_mgr *m, struct svc *s)
{
	if (s->state != SVC_STARTING)
		return;
	snprintf(s->why, sizeof(s->why), "closed its notification descriptor unready");
	begin_stop(m, s, SVC_FATE_FAILURE);
}

static void poll_pid_file(struct svc_mgr *m, struct svc *s)
{
	int r = m->ops->adopt(s);

	if (r == 0) {
		s->pid_wait = false;
		come_up(m, s);
	} else if (r != -EAGAIN || (s->deadline && m->ops->now() >= s->deadline)) {
		s->pid_wait = false;
		if (r == -EAGAIN)
			snprintf(s->why, sizeof(s->why), "its pid file names no process of its");
		died(m, s, SVC_FATE_FAILURE);
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
	queue_neighbours(m, s);
	m->ops->changed(s, SVC_KILLING);
}

/* Start the program of a service that is up without it. */
static void launch_up(struct svc_mgr *m, struct svc *s)
{
	m->ops->timer(s, 0);
	svc_queue_act(m, s);
	s->due = 0;
	s->started = m->ops->now();
	if (m->ops->launch(s) < 0)
		died(m, s, SVC_FATE_FAILURE);
	else if (s->def->timed)
		set_deadline(m, s, s->def->run_timeout);
}

static void run_now(struct svc_mgr *m, struct svc *s)
{
	m->ops->run_begins(s);
	if (m->ops->condition(s))
		launch_up(m, s);
	else
		rest_until_due(m, s);
}

static void timeout_up(struct svc_mgr *m, struct svc *s)
{
	if (s->def->activate && s->pid < 0) {
		m->ops->listen(s, true);
	} else if (s->def->timed && s->pid < 0 && s->goal) {
		if (s->due) /* else it is a second try */
			s->run_due = s->due;
		run_now(m, s);
	} else if (s->def->alive_timeout && s->pid >= 0) {
		snprintf(s->why, sizeof(s->why), "gave no sign of life");
		begin_stop(m, s, SVC_FATE_FAILURE);
	} else if (s->def->timed && s->pid >= 0) {
		snprintf(s->why, sizeof(s->why), "ran longer than its run-timeout");
		begin_stop(m, s, SVC_FATE_FAILURE);
	}
}

int svc_trigger(struct svc_mgr *m, struct svc *s)
{
	int r = svc_refused(m);

	if (r == 0 && (s->state != SVC_UP || !s->def->timed || !s->goal))
		r = -ENODATA;
	if (r == 0 && s->pid >= 0)
		r = -EALREADY;
	if (r == 0)
		run_now(m, s);
	return r;
}

void svc_clock_changed(struct svc_mgr *m)
{
	for (size_t i = 0; i < m->set->n; i++)
		if (m->v[i]->due && m->v[i]->def->ncalendars)
			rest_until_due(m, m->v[i]);
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
		begin_stop(m, s, SVC_FATE_FAILURE);
		break;
	case SVC_UP:
		timeout_up(m, s);
		break;
	case SVC_BACKOFF:
		set_state(m, s, SVC_WAITING);
		break;
	case SVC_STOPPING:
		begin_kill(m, s);
		break;
	case SVC_KILLING:
		if (!has_processes(m, s)) {
			finish(m, s);
			break;
		}
		look_stuck(m, s);
		m->ops->kill(s);
		look_again(m, s);
		break;
	default:
		break;
	}
}

void svc_activated(struct svc_mgr *m, struct svc *s)
{
	if (s->state != SVC_UP || s->pid >= 0 || !s->goal)
		return;
	m->ops->listen(s, false);
	launch_up(m, s);
}

/* ---- after a life before ---------------------------------------------------------------------*/

static void resume_stop(struct svc_mgr *m, struct svc *s)
{
	if (s->leaves || s->asked)
		return;
	if (s->aux >= 0 && !s->aux_is_stop)
		m->ops->kill_aux(s);
	else if (s->aux < 0 && s->aux_is_stop)
		after_command(m, s);
	else if (s->aux < 0)
		ask_to_stop(m, s);
}

/* Its fields are as they were at some moment between two steps. */
void svc_resume_one(struct svc_mgr *m, struct svc *s)
{
	switch (s->state) {
	case SVC_STARTING:
		if (s->pid < 0 && !s->pid_wait)
			set_state(m, s, SVC_WAITING); /* it was not started */
		else if (s->def->type == SVC_SIMPLE)
			come_up(m, s);
		else if (!s->deadline)
			set_deadline(m, s, s->def->start_timeout);
		break;
	case SVC_UP:
		if (s->def->accept || (s->def->activate && s->pid < 0 && !s->timer.index))
			m->ops->listen(s, true);
		else if (s->def->timed && s->pid < 0 && !s->timer.index)
			rest_until_due(m, s);
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

/* ---- the table
 * ---------------------------------------------------------------------------------*/

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
		s->listen_fd[i] = s->listen_src[i].fd = -1;
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
		update_goal(m, s);
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
		act(m, s);
		svc_commit(m, s);
	}
}
