/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system confirm, revert: the end of a switch with --confirm. */
#include <errno.h>
#include <stdio.h>

#include "system/switcher.h"
#include "system/system.h"

struct ctx {
	struct switcher_opts sw;
};

static int open_waiting(struct switcher *s, const struct ctx *c, const char *verb, struct err *e)
{
	int rc = switcher_open(s, &c->sw, verb, true, e);

	if (rc < 0)
		return rc;
	switcher_report_recovery(s);
	return s->unconfirmed ? 0
			      : err_set(e, -ERR_NOTFOUND, "no generation waits to be confirmed");
}

/* The switch first: what is cut off after it goes back as a whole, and has not said that it is
 * done. PID 1's way back cannot begin meanwhile, as it needs the lock. */
static int run_confirm(struct cmd_env *env, struct err *e)
{
	auto_switcher struct switcher s = SWITCHER_INIT;
	int rc = open_waiting(&s, env->ctx, "confirm", e);
	unsigned to = (unsigned)s.confirm.to;
	const struct gen *g;

	if (rc < 0)
		return rc;
	rc = sys_switch(&s.root, to, NULL, e);
	if (rc < 0)
		return err_wrap(e, rc, "generation %u is not confirmed", to);
	rc = confirm_end(&s.confirm, e);
	if (rc < 0)
		return err_wrap(e, rc, "generation %u is the current one, but", to);
	printf("generation %u is confirmed\n", to);
	if ((g = gen_find(&s.list, to)))
		switcher_report_loader(&s, to, g->path);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static int run_revert(struct cmd_env *env, struct err *e)
{
	auto_switcher struct switcher s = SWITCHER_INIT;
	auto_vec struct vec changes = VEC_INIT;
	int rc = open_waiting(&s, env->ctx, "revert", e);

	if (rc < 0)
		return rc;
	printf("generation %u was not confirmed: back to generation %u\n", (unsigned)s.confirm.to,
	       (unsigned)s.confirm.from);
	(void)fflush(stdout);
	rc = switcher_revert(&s, &changes, e);
	switcher_report_services(&changes);
	return rc;
}

const struct cmd sys_cmd_confirm = {
	.name = "confirm",
	.summary = "keep the generation that was switched to with --confirm",
	.help = "It becomes the current one, which the next boot starts, and PID 1 does not go\n"
		"back any more.",
	.context_size = sizeof(struct ctx),
	.statuses = &sys_statuses,
	.run = run_confirm,
};

const struct cmd sys_cmd_revert = {
	.name = "revert",
	.summary = "go back from the generation that was switched to with --confirm",
	.help = "This is what PID 1 runs when the time is up.",
	.context_size = sizeof(struct ctx),
	.statuses = &sys_statuses,
	.run = run_revert,
};
