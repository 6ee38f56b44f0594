/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the state machine (svc.c) and loads (svc-load.c) share. */
#pragma once

#include "init/svc.h"

void svc_queue_goal(struct svc_mgr *m, struct svc *s); /* svc_drain will look at its goal, */
void svc_queue_act(struct svc_mgr *m, struct svc *s);  /* at what it has to do */
void svc_drain(struct svc_mgr *m);		       /* both queues */
void svc_drain_goals(struct svc_mgr *m);	       /* the first one */
void svc_commit(struct svc_mgr *m, struct svc *s);
void svc_resume_one(struct svc_mgr *m, struct svc *s);

/* Forget failures and restarts. */
void svc_rest(struct svc *s);
/* Why a request cannot be taken now: -ESHUTDOWN, -EBUSY; 0. */
int svc_refused(const struct svc_mgr *m);
/* A service that is down, owned by the caller (free()). NULL: no memory. */
struct svc *svc_new(const struct svc_def *d, size_t index);
