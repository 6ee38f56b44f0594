/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What those who wait for a result are told: everybody is told something once nothing can come any
 * more. */
#include <errno.h>

#include "init/control-inside.h"
#include "init/world.h"
#include "lib/proc.h"

/* What failed, or waits to be tried again, since the load of this client began. */
static void answer_load(struct client *c)
{
	char text[600];
	size_t n = 0;

	for (size_t i = 0; i < world.mgr.set->n && n < sizeof(text); i++) {
		const struct svc *s = world.mgr.v[i];
		if ((s->state == SVC_FAILED || s->state == SVC_BACKOFF) && s->since >= c->used)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s is %s%s%s",
					      n ? "; " : "", s->name, svc_state_names[s->state],
					      s->why[0] ? ": " : "", s->why);
	}
	control_end(c, n ? -ECANCELED : 0, n ? text : "");
}

static void answer_load_failed(struct client *c)
{
	const struct svc_mgr *m = &world.mgr;
	char text[LIMIT_SVC_NAME + 100];

	snprintf(text, sizeof(text), "%s%s; the services of before stay",
		 m->load_culprit[0] ? m->load_culprit : strerror(-m->load_error),
		 m->load_culprit[0] ? " does not die" : "");
	control_end(c, m->load_error, text);
}

static bool has_ended(const struct svc *s)
{
	return s->state == SVC_DONE || s->state == SVC_FAILED || (s->state == SVC_DOWN && !s->goal);
}

static void answer_action(struct client *c, const struct svc *s)
{
	char text[64];

	if (s->aux >= 0)
		return;
	proc_status_text(s->aux_status, text);
	control_end(c, s->aux_status ? -ECANCELED : 0, s->aux_status ? text : "");
}

void result_look(struct client *c)
{
	struct svc *s;
	char text[300];

	if (c->op == CTL_REEXEC) {
		if (!world.reexec)
			control_end(c, world.reexec_error,
				    world.reexec_error ? strerror(-world.reexec_error) : "");
		return;
	}
	if (c->op == CTL_LOAD) {
		if (world.shutdown)
			control_end(c, -ESHUTDOWN, "the machine is shutting down");
		else if (world.mgr.load_error)
			answer_load_failed(c);
		else if (svc_all_settled(&world.mgr))
			answer_load(c);
		return;
	}
	s = svc_mgr_find(&world.mgr, slice_of(c->name));
	if (!s && world.mgr.pending)
		return; /* it is about to come */
	if (!s && world.mgr.load_error) {
		answer_load_failed(c);
	} else if (!s) {
		control_end(c, -ERR_NOTFOUND, "the service was removed");
	} else if (c->op != CTL_STOP && world.shutdown) {
		control_end(c, -ESHUTDOWN, "the machine is shutting down");
	} else if (c->op == CTL_ACTION) {
		answer_action(c, s);
	} else if (c->op == CTL_RUN) {
		if (has_ended(s))
			control_end(c, 0, "");
	} else if (!svc_is_settled(s) ||
		   (c->op == CTL_TRIGGER && s->state == SVC_UP && s->pid >= 0)) {
		return;
	} else if (c->op == CTL_TRIGGER && s->why[0]) {
		control_end(c, -ECANCELED, s->why);
	} else if ((c->op == CTL_STOP && !s->stuck) || s->state == SVC_UP ||
		   (s->state == SVC_DONE && !s->why[0])) {
		control_end(c, 0, "");
	} else {
		snprintf(text, sizeof(text), "%s is %s%s%s", s->name, svc_state_names[s->state],
			 s->why[0] ? ": " : "", s->why);
		control_end(c, -ECANCELED, text);
	}
}
