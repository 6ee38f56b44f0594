/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/gate.h"

#include <stdio.h>

void gate_init(struct gate *g, const struct svc_def *init, bool trial, uint64_t now)
{
	*g = (struct gate){ .state = trial && init->gate ? GATE_WAITS : GATE_OFF };
	if (g->state == GATE_WAITS && init->gate_timeout)
		g->deadline = now + init->gate_timeout;
}

bool gate_look(struct gate *g, const struct svc_mgr *m, uint64_t now)
{
	const char *name = m->set->init.gate;

	if (g->state != GATE_WAITS)
		return false;
	const struct svc *s = name ? svc_mgr_find(m, slice_of(name)) : NULL;
	if (!s) {
		g->state = GATE_OFF;
	} else if (s->state == SVC_UP || s->state == SVC_DONE) {
		g->state = GATE_PASSED;
	} else if (s->state == SVC_FAILED) {
		g->state = GATE_FAILED;
		(void)snprintf(g->why, sizeof(g->why), "%s failed: %s", s->name, s->why);
	} else if (g->deadline && now >= g->deadline) {
		g->state = GATE_FAILED;
		(void)snprintf(g->why, sizeof(g->why), "%s is not up in time: %s", s->name,
			       svc_state_names[s->state]);
	}
	return g->state == GATE_FAILED;
}
