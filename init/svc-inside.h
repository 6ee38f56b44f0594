/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of the state machine (svc*.c) share. */
#pragma once

#include "init/svc.h"

#define MS 1000000ull

static inline const struct svc_edges *svc_edges_of(const struct svc_mgr *m, const struct svc *s)
{
	return &m->set->edges[s->index];
}

/* Iterate the services at the far end of one kind of edge. */
#define EACH(m, s, dir, kind, other)                                                               \
	for (size_t each_k = 0; each_k < svc_edges_of(m, s)->n##dir[kind] &&                       \
				((other) = (m)->v[svc_edges_of(m, s)->dir[kind][each_k]]);         \
	     each_k++)

static inline bool svc_is_going_down(const struct svc *s)
{
	return !s->stuck &&
	       (s->state == SVC_HOLDING || s->state == SVC_STOPPING || s->state == SVC_KILLING);
}

/* Active, and others may wait for its end. */
static inline bool svc_will_end(const struct svc *s)
{
	return svc_is_active(s) && !s->stuck;
}

/* svc.c */
void svc_queue_goal(struct svc_mgr *m, struct svc *s); /* svc_drain will look at its goal, */
void svc_queue_act(struct svc_mgr *m, struct svc *s);  /* at what it has to do */
/* Everybody whose decision may depend on the state of s. */
void svc_queue_neighbours(struct svc_mgr *m, struct svc *s);
void svc_drain(struct svc_mgr *m);	 /* both queues */
void svc_drain_goals(struct svc_mgr *m); /* the first one */
void svc_commit(struct svc_mgr *m, struct svc *s);
void svc_set_state(struct svc_mgr *m, struct svc *s, enum svc_state state);
void svc_set_deadline(struct svc_mgr *m, struct svc *s, uint64_t wait); /* 0: none */
/* A service that is down, owned by the caller (free()). NULL: no memory. */
struct svc *svc_new(const struct svc_def *d, size_t index);

/* svc-goal.c */
void svc_rest(struct svc *s); /* forget failures and restarts */
/* Why a request cannot be taken now: -ESHUTDOWN, -EBUSY; 0. */
int svc_refused(const struct svc_mgr *m);
void svc_update_goal(struct svc_mgr *m, struct svc *s);

/* svc-start.c */
void svc_launch(struct svc_mgr *m, struct svc *s); /* nothing is in its way */
void svc_come_up(struct svc_mgr *m, struct svc *s);
void svc_run_now(struct svc_mgr *m, struct svc *s); /* a timed one that is up */

/* svc-stop.c */
bool svc_has_processes(struct svc_mgr *m, struct svc *s);
void svc_begin_stop(struct svc_mgr *m, struct svc *s, enum svc_fate fate);
void svc_ask_to_stop(struct svc_mgr *m, struct svc *s); /* command or signal */
void svc_after_command(struct svc_mgr *m, struct svc *s);
void svc_begin_kill(struct svc_mgr *m, struct svc *s);
void svc_look_again(struct svc_mgr *m, struct svc *s); /* after a pause, at what KILL left */

/* svc-end.c */
void svc_fail(struct svc_mgr *m, struct svc *s, const char *why); /* NULL: s->why says it */
/* It ended by itself: what is left of it must not meet its successor. */
void svc_died(struct svc_mgr *m, struct svc *s, enum svc_fate fate);
void svc_finish(struct svc_mgr *m, struct svc *s); /* no process is left: go by the fate */
void svc_rest_until_due(struct svc_mgr *m, struct svc *s);

/* svc-step.c */
void svc_step(struct svc_mgr *m, struct svc *s);

/* svc-resume.c */
void svc_resume_one(struct svc_mgr *m, struct svc *s);
