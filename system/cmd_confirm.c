/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system confirm, revert: the end of a switch with --confirm. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "lib/text.h"
#include "system/menu.h"
#include "system/switcher.h"
#include "system/system.h"
#include "system/whole.h"

struct ctx {
	struct switcher_opts sw;
	bool skip_checks;
};

/* Which generation is meant: its number, or the item. Both zero: any. */
struct meant {
	uint64_t number;
	const char *system;
};

static int parse_meant(const struct cmd_env *env, struct meant *ret, struct err *e)
{
	const char *text = env->nargs ? env->args[0] : NULL;

	*ret = (struct meant){ 0, NULL };
	if (text && text[0] == '/')
		ret->system = text;
	else if (text &&
		 (text_u64(slice_of(text), GEN_NUMBER_MAX, &ret->number) < 0 || !ret->number))
		return cmd_usage(e, "'%s' is neither the number of a generation nor a path", text);
	return 0;
}

static bool is_meant(const struct switcher *s, const struct meant *m, unsigned number)
{
	const struct gen *g = gen_find(&s->list, number);

	if (m->system)
		return g && strcmp(g->path, m->system) == 0;
	return !m->number || m->number == number;
}

/* The one that is meant waits. *ret_kept: nothing does, as that is the current one already. */
static int check_waits(struct switcher *s, const struct meant *m, bool *ret_kept, struct err *e)
{
	*ret_kept = false;
	if (s->unconfirmed && is_meant(s, m, (unsigned)s->confirm.to))
		return 0;
	if (s->unconfirmed)
		return err_set(e, -ERR_IN_USE,
			       "it is generation %u that waits to be confirmed, and not %s",
			       (unsigned)s->confirm.to, m->system ? m->system : "that one");
	*ret_kept = (m->system || m->number) && s->list.current && is_meant(s, m, s->list.current);
	if (*ret_kept)
		return 0;
	if (sys_root_is_machine(&s->root) && confirm_was_reverted(&s->arena, &s->confirm))
		return err_set(e, -ERR_REVERTED,
			       "generation %u was not confirmed: this machine has gone back to "
			       "generation %u",
			       (unsigned)s->confirm.to, (unsigned)s->confirm.from);
	return err_set(e, -ERR_NOTFOUND, "no generation waits to be confirmed");
}

static int open_machine(struct switcher *s, const struct ctx *c, const char *verb, struct err *e)
{
	int rc = switcher_open(s, &c->sw, verb, !c->sw.dry_run, e);

	if (rc < 0)
		return rc;
	switcher_report_recovery(s);
	switcher_report_damaged(s, &s->list);
	return 0;
}

/* Both numbers, and what became of it. */
static int report(const struct ctx *c, const char *result, const struct confirm *w,
		  const char *sentence, struct err *e)
{
	if (c->sw.json)
		printf("{\"result\":\"%s\",\"generation\":%u,\"before\":%u}\n",
		       c->sw.dry_run ? "planned" : result, (unsigned)w->to, (unsigned)w->from);
	else
		puts(sentence);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* The switch first: what is cut off after it goes back as a whole, and has not said that it is
 * done. PID 1's way back cannot begin meanwhile, as it needs the lock. */
static int do_confirm(struct switcher *s, bool skip, struct err *e)
{
	unsigned to = (unsigned)s->confirm.to;
	const struct gen *g = gen_find(&s->list, to);
	const struct whole w = { g ? g->path : NULL, to, NULL, skip };
	int rc = g ? whole_check(&s->root, &w, e) : 0;

	if (rc == 0 && g) /* it was there when the trial began */
		rc = sys_menu_check_room(&s->root, &s->list, to, g->path, e);
	switcher_go_through();
	if (rc == 0)
		rc = sys_switch(&s->root, to, NULL, e);
	if (rc < 0)
		return err_wrap(e, rc, "generation %u is not confirmed", to);
	rc = confirm_end(&s->confirm, e);
	if (rc < 0)
		return err_hint(
			e, err_wrap(e, -ERR_PARTIAL, "generation %u is the current one, but", to),
			"say it again: PID 1 would go back from it");
	if (g)
		switcher_report_loader(s, to, g->path);
	return 0;
}

static int run_confirm(struct cmd_env *env, struct err *e)
{
	const struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct meant meant;
	char sentence[64];
	bool kept = false;
	int rc = parse_meant(env, &meant, e);

	if (rc == 0)
		rc = open_machine(&s, c, "confirm", e);
	if (s.busy && c->sw.json) { /* system/remote.c asks again */
		puts("{\"result\":\"busy\"}");
		(void)fflush(stdout);
	}
	if (rc == 0)
		rc = check_waits(&s, &meant, &kept, e);
	if (rc == 0 && !kept && !c->sw.dry_run)
		rc = do_confirm(&s, c->skip_checks, e);
	if (rc < 0)
		return rc;
	if (kept) /* a second time, or nothing was tried out */
		s.confirm.to = s.confirm.from = s.list.current;
	(void)snprintf(sentence, sizeof(sentence), "generation %u %s confirmed",
		       (unsigned)s.confirm.to, c->sw.dry_run && !kept ? "would be" : "is");
	return report(c, "confirmed", &s.confirm, sentence, e);
}

/* PID 1 runs this for a trial that is decided, as it could not be stopped then. What waits now is
 * another's. */
static bool is_left_over(const struct switcher *s)
{
	const char *own = confirm_own_service();

	return own && !(s->unconfirmed && strcmp(own, s->confirm.service) == 0);
}

static int end_left_over(struct err *e)
{
	fputs("the generation that this goes back from waits no more: nothing to do\n", stderr);
	return confirm_stop(confirm_own_service(), e);
}

/* The end comes last, since PID 1 then ends its service, which may be this. Neither services that
 * fail nor output that nobody takes keep it from coming. */
static int do_revert(const struct ctx *c, struct switcher *s, const char *sentence, struct err *e)
{
	auto_vec struct vec changes = VEC_INIT;
	struct err ignored = ERR_INIT;
	bool back = false;
	int said, ended, rc = switcher_revert(s, &back, &changes, e);

	switcher_report_services(&changes);
	if (!back)
		return rc;
	said = report(c, "reverted", &s->confirm, sentence, rc < 0 ? &ignored : e);
	if (rc == 0 && said < 0)
		rc = err_wrap(e, -ERR_PARTIAL, "the machine is back at generation %u, but",
			      (unsigned)s->confirm.from);
	ended = confirm_end(&s->confirm, rc < 0 ? &ignored : e);
	return rc < 0 ? rc : ended;
}

static int run_revert(struct cmd_env *env, struct err *e)
{
	const struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct meant meant;
	char sentence[96];
	bool kept = false;
	int rc = parse_meant(env, &meant, e);

	(void)signal(SIGPIPE, SIG_IGN);
	if (rc == 0)
		rc = open_machine(&s, c, "revert", e);
	if (rc == 0 && !c->sw.dry_run && is_left_over(&s))
		return end_left_over(e);
	if (rc == 0)
		rc = check_waits(&s, &meant, &kept, e);
	if (kept)
		return err_set(e, -ERR_NOTFOUND,
			       "generation %u does not wait to be confirmed: it is the current one",
			       s.list.current);
	if (rc < 0)
		return rc;
	(void)snprintf(sentence, sizeof(sentence),
		       "generation %u was not confirmed: back to generation %u",
		       (unsigned)s.confirm.to, (unsigned)s.confirm.from);
	return c->sw.dry_run ? report(c, "reverted", &s.confirm, sentence, e)
			     : do_revert(c, &s, sentence, e);
}

#define OPTS                                                                                       \
	{ "dry-run", 'n',                                                                          \
	  CMD_FLAG,  offsetof(struct ctx, sw.dry_run),                                             \
	  NULL,	     "say what would become of it, change nothing" },                              \
	{                                                                                          \
		"json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL,                          \
			"what becomes of it as JSON"                                               \
	}

/* Nothing is tried out below a directory, but something is the current one. */
static const struct cmd_opt confirm_opts[] = { OPTS, SWITCHER_OPTIONS(struct ctx, sw),
					       WHOLE_SKIP_CHECKS(struct ctx, skip_checks) };
static const struct cmd_opt revert_opts[] = { OPTS };

const struct cmd sys_cmd_confirm = {
	.name = "confirm",
	.synopsis = "[NUMBER|SYSTEM]",
	.summary = "keep the generation that was switched to with --confirm",
	.examples = "cairn system confirm",
	.help = "It becomes the current one, which the next boot starts, and PID 1 does not go\n"
		"back any more. With a NUMBER, or the path of a SYSTEM, another one is refused\n"
		"(status 3), and one that is the current one already is well.",
	CMD_OPTS(confirm_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_confirm,
};

const struct cmd sys_cmd_revert = {
	.name = "revert",
	.synopsis = "[NUMBER|SYSTEM]",
	.summary = "go back from the generation that was switched to with --confirm",
	.examples = "cairn system revert",
	.help = "This is what PID 1 runs when the time is up. With a NUMBER, or the path of a\n"
		"SYSTEM, another one is refused (status 3).",
	CMD_OPTS(revert_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_revert,
};
