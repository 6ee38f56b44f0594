/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system roll-back, switch-generation; and what they share with reconfigure. */
#include "system/cmd_switch.h"

#include <errno.h>
#include <stdio.h>

#include "lib/text.h"
#include "system/activate.h"
#include "system/live.h"
#include "system/menu.h"
#include "system/secrets.h"
#include "system/system.h"
#include "system/whole.h"

#define SECOND 1000000000ull

/* ---- Plan ------------------------------------------------------------------------------------ */

int change_seconds(struct change *c, struct err *e)
{
	uint64_t ns = 0;

	if (c->confirm && (text_duration(slice_of(c->confirm), &ns) < 0 || ns < SECOND ||
			   ns > CONFIRM_MAX * SECOND))
		return cmd_usage(e,
				 "--confirm: '%s' is not a time such as 60 or 5min, a day at most",
				 c->confirm);
	if (c->confirm && (c->sw.boot_only || c->sw.target))
		return cmd_usage(e, "--confirm is for the running system: not with --boot or "
				    "--target-root");
	c->seconds = ns / SECOND;
	return 0;
}

int change_open(struct change *c, struct switcher *s, const char *verb, struct err *e)
{
	int rc = change_seconds(c, e);

	if (rc == 0 && (c->no_confirm || c->target_program || c->target_there))
		rc = cmd_usage(e, "that option is for --target-host");
	if (rc < 0)
		return rc;
	rc = switcher_open(s, &c->sw, verb, !c->sw.dry_run, e);
	if (rc < 0)
		return rc;
	switcher_report_recovery(s);
	switcher_report_damaged(s, &s->list);
	return c->sw.dry_run ? 0 : switcher_check_decided(s, e);
}

static int print(const struct str *out, struct err *e)
{
	if (str_err(out))
		return err_set(e, -ENOMEM, "out of memory");
	/* A text that is larger than the buffer is written at once, and leaves nothing to flush. */
	return fputs(out->buf, stdout) == EOF || fflush(stdout) == EOF
		       ? err_sys(e, "standard output")
		       : 0;
}

/* active: what is changed; NULL: the current generation is. */
static int show_plan(const struct plan *p, const struct switcher *s, const struct goal *g,
		     bool test, const char *active, struct err *e)
{
	auto_str struct str out = STR_INIT;
	const char *current = switcher_current(s);

	if (test)
		str_addf(&out, "generation %u -> %s, until the next boot\n", s->list.current,
			 g->path);
	else
		str_addf(&out, "generation %u -> %u\n", s->list.current, g->number);
	if (active && (!current || strcmp(active, current) != 0))
		str_addf(&out, "  active     %s, which is not the current one\n", active);
	plan_text(p, &out);
	return print(&out, e);
}

int change_plan(const struct change *c, struct switcher *s, const struct goal *g,
		const struct plan_side *to, const struct plan_sizer *z, struct plan *ret,
		struct err *e)
{
	const char *from = switcher_current(s);
	const char *active = c->sw.boot_only ? NULL : switcher_active(s);
	const struct plan_request q = { { s->root, from },	*to,
					{ s->root, s->booted }, { s->root, active },
					c->sw.boot_only,	sys_root_is_machine(&s->root) };
	const struct sys_root read = { s->root.target, to->root.store };
	int rc = sys_activate_check(&read, g->path, e);

	if (rc == 0)
		rc = plan_make(&q, &s->arena, ret, e);
	if (rc == 0 && z)
		rc = plan_sizes(z, &s->arena, from, g->path, ret, e);
	return rc == 0 && !c->sw.json ? show_plan(ret, s, g, c->test, active, e) : rc;
}

/* ---- Switch ---------------------------------------------------------------------------------- */

static bool is_active(struct switcher *s, unsigned number)
{
	struct err ignored = ERR_INIT;
	unsigned active = 0;

	return switcher_find_active(s, &active, &ignored) == 0 && active == number;
}

/* Activation and services (not those that wait for the next boot); what fails here is said as such.
 */
static int activate(const struct change *c, struct switcher *s, const struct goal *g, bool services,
		    struct vec *changes, struct err *e)
{
	int rc;

	if (c->sw.boot_only) {
		fprintf(stderr, "generation %u starts at the next boot\n", g->number);
		return 0;
	}
	rc = switcher_activate(s, g->path, services, changes, e);
	switcher_report_services(changes);
	if (rc == 0)
		return 0;
	return c->test ? err_wrap(e, -ERR_PARTIAL, "%s is active, but", g->path)
		       : err_wrap(e, -ERR_PARTIAL, "generation %u is the current one, but",
				  g->number);
}

/* Activation and services, but no switch, until somebody confirms it. */
static int try_out(const struct change *c, struct switcher *s, const struct goal *g,
		   struct vec *changes, struct err *e)
{
	bool begun = false;
	int rc = switcher_try(s, g->number, g->path, g->fresh, c->seconds, &begun, changes, e);

	switcher_report_services(changes);
	if (!begun)
		return rc;
	if (confirm_is_armed(&s->confirm))
		fprintf(stderr,
			"generation %u is tried out: in %llu s this machine goes back to "
			"generation "
			"%u, unless you say\n    cairn system confirm\n",
			g->number, (unsigned long long)confirm_left(&s->confirm),
			(unsigned)s->confirm.from);
	else
		fprintf(stderr, "warning: PID 1 lost the way back [cairn system revert goes it]\n");
	return rc < 0 ? err_wrap(e, -ERR_PARTIAL, "generation %u is tried out, but", g->number) : 0;
}

/* Everything that can be known to be in the way first; the visible switch comes last. */
static int switch_to(const struct change *c, struct switcher *s, const struct goal *g,
		     bool services, struct vec *changes, struct err *e)
{
	int rc = sys_menu_check_room(&s->root, &s->list, g->number, g->path, e);

	if (rc == 0)
		rc = sys_switch(&s->root, g->number, g->fresh ? g->path : NULL, e);
	if (rc < 0)
		return rc;
	fprintf(stderr, "switched to generation %u\n", g->number);
	switcher_report_loader(s, g->number, g->path);
	return activate(c, s, g, services, changes, e);
}

static int run(struct change *c, struct switcher *s, const struct goal *g, bool services,
	       struct vec *changes, const char **ret_done, struct err *e)
{
	int rc = gen_check(&s->root, g->path, e);

	/* As they are now, whenever it is activated. */
	if (rc == 0)
		rc = secrets_keep(&s->root, g->path, e);
	if (rc < 0)
		return rc;
	if (c->seconds && is_active(s, g->number)) {
		fprintf(stderr, "generation %u is active already: there is nothing to confirm\n",
			g->number);
		c->seconds = 0;
	}
	if (c->seconds && !services)
		return err_set(e, -ERR_UNSUPPORTED,
			       "--confirm: generation %u cannot be tried out, as its services wait "
			       "for the next boot",
			       g->number);
	switcher_go_through();
	if (c->seconds)
		rc = try_out(c, s, g, changes, e);
	else if (c->test)
		rc = activate(c, s, g, services, changes, e);
	else
		rc = switch_to(c, s, g, services, changes, e);
	*ret_done = rc == -ERR_PARTIAL ? "partial"
		    : c->seconds       ? "tried-out"
		    : c->test	       ? "activated"
				       : "switched";
	return rc;
}

/* ---- What came of it ------------------------------------------------------------------------- */

static void json_number(struct str *out, const char *key, unsigned number)
{
	str_addf(out, number ? "\"%s\":%u," : "\"%s\":null,", key, number);
}

static int report(const struct switcher *s, const struct goal *g, bool test, const struct plan *p,
		  const char *done, const struct vec *changes, struct err *e)
{
	auto_str struct str out = STR_INIT;
	bool first = true;

	str_addf(&out, "{\"result\":\"%s\",", done);
	json_number(&out, "from", s->list.current);
	json_number(&out, "to", test ? 0 : g->number);
	str_add(&out, "\"system\":");
	text_json(&out, slice_of(g->path));
	str_add(&out, ",\"plan\":");
	plan_json(p, &out);
	str_add(&out, ",\"services\":[");
	for (size_t i = 0; i < changes->n; i++) {
		const struct live_change *x = changes->v[i];

		if (x->action == LIVE_KEEP)
			continue;
		str_add(&out, first ? "{\"name\":" : ",{\"name\":");
		text_json(&out, slice_of(x->name));
		str_addf(&out, ",\"action\":\"%s\"}", live_action_names[x->action]);
		first = false;
	}
	str_add(&out, "]}\n");
	return print(&out, e);
}

int change_not_told(const struct goal *g, struct err *e)
{
	return err_wrap(e, -ERR_PARTIAL, "%s is what there is now, but", g->path);
}

bool change_is_nothing(const struct change *c, struct switcher *s, const struct goal *g,
		       const struct plan *p)
{
	const char *active = c->sw.boot_only ? g->path : switcher_active(s);

	return plan_is_empty(p) && (c->test || (!g->fresh && g->number == s->list.current)) &&
	       active && strcmp(active, g->path) == 0;
}

int change_go(struct change *c, struct switcher *s, const struct goal *g, const struct plan *p,
	      struct err *e)
{
	auto_vec struct vec changes = VEC_INIT;
	struct err ignored = ERR_INIT;
	const char *done = "planned";
	int rc = 0, said;

	if (c->fail_unchanged && change_is_nothing(c, s, g, p)) {
		rc = c->sw.json ? report(s, g, c->test, p, "unchanged", &changes, e) : 0;
		return rc < 0 ? rc
			      : err_set(e, -ERR_UNCHANGED, "nothing to do: %s is what there is",
					g->path);
	}
	if (!c->sw.dry_run)
		rc = run(c, s, g, !p->services_at_boot, &changes, &done, e);
	if ((rc < 0 && rc != -ERR_PARTIAL) || !c->sw.json)
		return rc;
	said = report(s, g, c->test, p, done, &changes, rc < 0 ? &ignored : e);
	if (rc == 0 && said < 0)
		rc = c->sw.dry_run ? said : change_not_told(g, e);
	return rc;
}

/* ---- roll-back, switch-generation: from what is stored, nothing else --------------------------
 */

static int switch_stored(struct change *c, struct switcher *s, const struct gen *g, struct err *e)
{
	const struct goal goal = { g->number, g->path, false };
	const struct plan_side to = { s->root, g->path };
	struct plan p = PLAN_INIT;
	const struct whole w = { g->path, g->number, NULL, c->skip_checks };
	int rc = whole_check(&s->root, &w, e);

	if (rc == 0)
		rc = change_plan(c, s, &goal, &to, NULL, &p, e);
	if (rc == 0)
		rc = change_go(c, s, &goal, &p, e);
	plan_done(&p);
	return rc;
}

/* An item that somebody brought, as a new generation, unless the current one is it. */
static int switch_item(struct change *c, struct switcher *s, const char *path, struct err *e)
{
	const char *current = switcher_current(s);
	bool same = current && strcmp(current, path) == 0;
	const struct goal g = { same ? s->list.current : gen_next(&s->list), path, !same };
	const struct plan_side to = { s->root, path };
	struct store_conn *conn = NULL;
	struct plan p = PLAN_INIT;
	bool valid = false;
	int rc = gen_check(&s->root, path, e);

	if (rc == 0 && !c->sw.store.root && s->root.store[0])
		c->sw.store.root = s->root.store;
	if (rc == 0)
		rc = store_open(&c->sw.store, &conn, e);
	/* It is kept until its link is made. */
	if (rc == 0)
		rc = store_add_temp_root(conn, path, e);
	if (rc == 0)
		rc = store_is_valid(conn, path, &valid, e);
	if (rc == 0 && !valid)
		rc = err_set(e, -ERR_NOTVALID, "%s is not whole: the store does not know it", path);
	if (rc == 0)
		rc = whole_check(&s->root,
				 &(const struct whole){ path, same ? g.number : 0,
							store_conn_state(conn), c->skip_checks },
				 e);
	if (rc == 0)
		rc = change_plan(c, s, &g, &to, NULL, &p, e);
	if (rc == 0)
		rc = change_go(c, s, &g, &p, e);
	plan_done(&p);
	store_close(conn);
	return rc;
}

static int run_item(struct change *c, const char *path, struct err *e)
{
	auto_switcher struct switcher s = SWITCHER_INIT;
	int rc = change_open(c, &s, "switch-generation", e);

	return rc < 0 ? rc : switch_item(c, &s, path, e);
}

/* The one that lies by so many generations before (negative) or after the current one. */
static const struct gen *relative(const struct gen_list *l, int64_t by)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].number == l->current) {
			int64_t at = (int64_t)i + by;

			return at >= 0 && at < (int64_t)l->n ? &l->v[at] : NULL;
		}
	return NULL;
}

static int run_switch(struct cmd_env *env, struct err *e)
{
	struct change *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	const char *arg = env->args[0];
	bool sign = arg[0] == '+' || arg[0] == '-';
	const struct gen *g;
	uint64_t number;
	int rc;

	if (arg[0] == '/')
		return run_item(c, arg, e);
	if (text_u64(slice_of(arg + sign), GEN_NUMBER_MAX, &number) < 0 || (number == 0 && !sign))
		return cmd_usage(e, "'%s' is not the number of a generation", arg);
	rc = change_open(c, &s, "switch-generation", e);
	if (rc < 0)
		return rc;
	g = sign ? relative(&s.list, arg[0] == '-' ? -(int64_t)number : (int64_t)number)
		 : gen_find(&s.list, (unsigned)number);
	if (!g && sign)
		return err_set(e, -ERR_NOTFOUND,
			       "there is no generation %llu %s the current one (%u)",
			       (unsigned long long)number, arg[0] == '-' ? "before" : "after",
			       s.list.current);
	if (!g)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u", (unsigned)number);
	return switch_stored(c, &s, g, e);
}

static int run_roll_back(struct cmd_env *env, struct err *e)
{
	struct change *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	const struct gen *before;
	int rc = change_open(c, &s, "roll-back", e);

	if (rc < 0)
		return rc;
	before = gen_before(&s.list);
	for (size_t i = 0; i < s.list.n && s.list.v[i].number < s.list.current; i++)
		if (s.list.v[i].tried && (!before || s.list.v[i].number > before->number))
			fprintf(stderr,
				"generation %u was tried out and not confirmed: passed over\n",
				s.list.v[i].number);
	if (!before)
		return err_set(e, -ERR_NOTFOUND,
			       "there is no generation before the current one (%u)",
			       s.list.current);
	return switch_stored(c, &s, before, e);
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

static const struct cmd_opt switch_opts[] = {
	{ "root", 0, CMD_STR, offsetof(struct change, sw.store.root), "DIR",
	  "private root: store at DIR/gnu/store" },
	SWITCHER_OPTIONS(struct change, sw),
	CHANGE_DRY_RUN,
	CHANGE_JSON,
	CHANGE_BOOT_ONLY,
	CHANGE_CONFIRM,
	CHANGE_UNCHANGED,
	WHOLE_SKIP_CHECKS(struct change, skip_checks),
};

const struct cmd sys_cmd_roll_back = {
	.name = "roll-back",
	.summary = "switch to the generation before the current one",
	.examples = "cairn system roll-back",
	.help = "Needs no evaluation, no build daemon and no network. What was tried out with\n"
		"--confirm and not confirmed is passed over.\n" CHANGE_CONFIRM_HELP,
	CMD_OPTS(switch_opts),
	.context_size = sizeof(struct change),
	.statuses = &sys_statuses,
	.run = run_roll_back,
};

const struct cmd sys_cmd_switch_generation = {
	.name = "switch-generation",
	.synopsis = "NUMBER|+N|-N|SYSTEM",
	.summary = "switch to another generation",
	.examples = "cairn system switch-generation 7\n"
		    "cairn system switch-generation -2        two before the current one\n"
		    "cairn system switch-generation --boot 7  from the next boot on",
	.help = "+N and -N count from the current one. Needs no evaluation, no build daemon and "
		"no\n"
		"network. SYSTEM is the path of an item that was copied to the store: it becomes\n"
		"a new generation.\n" CHANGE_CONFIRM_HELP,
	CMD_OPTS(switch_opts),
	.context_size = sizeof(struct change),
	.min_args = 1,
	.max_args = 1,
	.numbers = true,
	.statuses = &sys_statuses,
	.run = run_switch,
};
