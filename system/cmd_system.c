/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system build, reconfigure, roll-back, switch-generation, activate. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/size.h"
#include "lib/text.h"
#include "system/activate.h"
#include "system/switcher.h"
#include "system/system.h"

#define CONFIGURATION "/etc/cairn/system.lua"
#define SECOND	      1000000000ull

struct ctx {
	struct switcher_opts sw;
	struct sys_eval_opts eval;
	const char *link, *confirm;
	uint64_t seconds; /* of confirm; 0: it was not given */
	bool derivation, physical, boot, directories;
};

/* ---- Evaluate and build -----------------------------------------------------------------------
 */

static const char *configuration(const struct cmd_env *env)
{
	return env->nargs ? env->args[0] : CONFIGURATION;
}

/* The generation of a configuration; *ret_ev owns the paths. */
static int evaluate(struct ctx *c, const char *file, struct sys_eval **ret_ev,
		    const struct sys_eval_result **ret, struct err *e)
{
	struct sys_eval_request req = { SYS_EVAL_FILE, file, "system.generation", NULL, 0 };
	struct sys_eval *ev = NULL;
	const struct sys_eval_result *res;
	int rc = sys_eval_run(&c->eval, &req, &ev, e);

	if (rc < 0)
		return rc;
	res = sys_eval_find(ev, "system");
	if (!res || !res->drv) {
		sys_eval_free(ev);
		return err_set(e, -ERR_EVAL, "%s: the result is not a system", file);
	}
	*ret_ev = ev;
	*ret = res;
	return 0;
}

static int print_line(const char *text, struct err *e)
{
	printf("%s\n", text);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static int build(struct ctx *c, struct sys_eval *ev, const struct sys_eval_result *res,
		 struct store_conn *conn, struct err *e)
{
	const char *path = c->derivation ? res->drv : res->value;
	int rc = c->derivation ? sys_eval_add(ev, conn, e) : sys_eval_build(ev, conn, "system", e);

	if (rc == 0 && c->link)
		rc = store_add_root(conn, c->link, path, e);
	return rc;
}

static int run_build(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	const struct sys_eval_result *res;
	struct store_conn *conn = NULL;
	struct sys_eval *ev = NULL;
	int rc = evaluate(c, configuration(env), &ev, &res, e);

	if (rc == 0)
		rc = store_open(&c->sw.store, &conn, e);
	if (rc == 0)
		rc = build(c, ev, res, conn, e);
	if (rc == 0) {
		const char *path = c->derivation ? res->drv : res->value;

		path = c->physical ? store_conn_physical(conn, &a, path) : path;
		rc = path ? print_line(path, e) : err_set(e, -ENOMEM, "out of memory");
	}
	store_close(conn);
	sys_eval_free(ev);
	return rc;
}

/* ---- Plan, switch, report ---------------------------------------------------------------------
 */

static int show_plan(const struct ctx *c, const struct plan *p, const char *title, struct err *e)
{
	auto_str struct str out = STR_INIT;

	if (c->sw.json) {
		plan_json(p, &out);
		str_addc(&out, '\n');
	} else {
		str_addf(&out, "%s\n", title);
		plan_text(p, &out);
	}
	if (str_err(&out))
		return err_set(e, -ENOMEM, "out of memory");
	fputs(out.buf, stdout);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* Activation and services (not those that wait for the next boot) after the switch is done; what
 * fails here is said as such. */
static int after_switch(struct ctx *c, struct switcher *s, unsigned number, const char *path,
			bool services, struct err *e)
{
	auto_vec struct vec changes = VEC_INIT;
	int rc;

	if (c->sw.boot_only) {
		fprintf(stderr, "generation %u starts at the next boot\n", number);
		return 0;
	}
	rc = switcher_activate(s, path, services, &changes, e);
	switcher_report_services(&changes);
	return rc < 0 ? err_wrap(e, rc, "generation %u is the current one, but", number) : 0;
}

static bool is_active(struct switcher *s, unsigned number)
{
	struct err ignored = ERR_INIT;
	unsigned active = 0;

	return switcher_find_active(s, &active, &ignored) == 0 && active == number;
}

/* Activation and services, but no switch, until somebody confirms it. */
static int try_out(struct ctx *c, struct switcher *s, unsigned number, const char *path, bool fresh,
		   struct err *e)
{
	auto_vec struct vec changes = VEC_INIT;
	bool begun = false;
	int rc = switcher_try(s, number, path, fresh, c->seconds, &begun, &changes, e);

	switcher_report_services(&changes);
	if (!begun)
		return rc;
	if (confirm_is_armed(&s->confirm))
		fprintf(stderr,
			"generation %u is tried out: in %llu s this machine goes back to "
			"generation "
			"%u, unless you say\n    cairn system confirm\n",
			number, (unsigned long long)confirm_left(&s->confirm),
			(unsigned)s->confirm.from);
	else
		fprintf(stderr, "warning: PID 1 lost the way back [cairn system revert goes it]\n");
	return rc < 0 ? err_wrap(e, rc, "generation %u is tried out, but", number) : 0;
}

/* Switch to generation number (made now from path when fresh), with plan and report. */
static int go(struct ctx *c, struct switcher *s, unsigned number, const char *path, bool fresh,
	      struct store_conn *conn, struct err *e)
{
	struct plan p = PLAN_INIT;
	const char *from = switcher_current(s);
	bool services;
	char title[96];
	int rc = sys_activate_check(&s->root, path, e);

	if (rc == 0)
		rc = plan_make(&s->root, &s->arena, from, path, s->booted, c->sw.boot_only, &p, e);
	if (rc == 0 && conn)
		rc = plan_sizes(conn, &s->arena, from, path, &p, e);
	snprintf(title, sizeof(title), "generation %u -> %u", s->list.current, number);
	if (rc == 0)
		rc = show_plan(c, &p, title, e);
	services = !p.services_at_boot;
	plan_done(&p);
	if (rc < 0 || c->sw.dry_run)
		return rc;
	if (c->seconds && is_active(s, number)) {
		fprintf(stderr, "generation %u is active already: there is nothing to confirm\n",
			number);
		c->seconds = 0;
	}
	if (c->seconds && !services)
		return err_set(e, -ERR_UNSUPPORTED,
			       "--confirm: generation %u cannot be tried out, as its services wait "
			       "for the next boot",
			       number);
	if (c->seconds)
		return try_out(c, s, number, path, fresh, e);
	rc = sys_switch(&s->root, number, fresh ? path : NULL, e);
	if (rc < 0)
		return rc;
	fprintf(stderr, "switched to generation %u\n", number);
	switcher_report_loader(s, number, path);
	return after_switch(c, s, number, path, services, e);
}

/* ---- reconfigure ------------------------------------------------------------------------------
 */

/* A private root belongs to no machine, unless --target-root says so. */
static int check_store(const struct switcher *s, struct store_conn *conn, struct err *e)
{
	if (sys_root_is_machine(&s->root) && store_conn_root(conn)[0])
		return err_set(e, -ERR_INVALID,
			       "the store is the private root %s, not this machine's [is the build "
			       "daemon running?]",
			       store_conn_root(conn));
	return 0;
}

/* What the options of a switch say, and that nothing is tried out. */
static int open_switch(struct ctx *c, struct switcher *s, const char *verb, struct err *e)
{
	uint64_t ns = 0;
	int rc;

	if (c->confirm && (text_duration(slice_of(c->confirm), &ns) < 0 || ns < SECOND ||
			   ns > CONFIRM_MAX * SECOND))
		return cmd_usage(e,
				 "--confirm: '%s' is not a time such as 60 or 5min, a day at most",
				 c->confirm);
	if (c->confirm && (c->sw.boot_only || c->sw.target))
		return cmd_usage(e, "--confirm is for the running system: not with --boot or "
				    "--target-root");
	c->seconds = ns / SECOND;
	rc = switcher_open(s, &c->sw, verb, true, e);
	if (rc < 0)
		return rc;
	switcher_report_recovery(s);
	return c->sw.dry_run ? 0 : switcher_check_decided(s, e);
}

static int reconfigure(struct ctx *c, struct switcher *s, const char *file, struct store_conn *conn,
		       struct err *e)
{
	const struct sys_eval_result *res;
	const char *current = switcher_current(s);
	struct sys_eval *ev = NULL;
	bool same;
	int rc = evaluate(c, file, &ev, &res, e);

	if (rc == 0)
		rc = sys_eval_build(ev, conn, "system", e);
	/* Until its link is made the new system is kept by this connection. */
	if (rc == 0)
		rc = store_add_temp_root(conn, res->value, e);
	if (rc < 0) {
		sys_eval_free(ev);
		return rc;
	}
	same = current && strcmp(current, res->value) == 0;
	rc = go(c, s, same ? s->list.current : gen_next(&s->list), res->value, !same, conn, e);
	if (rc == 0)
		rc = print_line(res->value, e);
	sys_eval_free(ev);
	return rc;
}

/* A scratch machine has no profile directory yet. */
static int run_reconfigure(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct store_conn *conn = NULL;
	int rc = open_switch(c, &s, "reconfigure", e);

	if (rc < 0)
		return rc;
	if (!c->sw.store.root && s.root.store[0])
		c->sw.store.root = s.root.store;
	rc = store_open(&c->sw.store, &conn, e);
	if (rc == 0)
		rc = check_store(&s, conn, e);
	if (rc == 0)
		rc = reconfigure(c, &s, configuration(env), conn, e);
	store_close(conn);
	return rc;
}

/* ---- roll-back, switch-generation: from what is stored, nothing else --------------------------
 */

static int switch_stored(struct ctx *c, struct switcher *s, unsigned number, struct err *e)
{
	const struct gen *g = gen_find(&s->list, number);

	if (!g)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u", number);
	return go(c, s, number, g->path, false, NULL, e);
}

static int run_switch(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	uint64_t number;
	int rc;

	if (text_u64(slice_of(env->args[0]), GEN_NUMBER_MAX, &number) < 0 || number == 0)
		return cmd_usage(e, "'%s' is not the number of a generation", env->args[0]);
	rc = open_switch(c, &s, "switch-generation", e);
	if (rc < 0)
		return rc;
	return switch_stored(c, &s, (unsigned)number, e);
}

static int run_roll_back(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	unsigned before = 0;
	int rc = open_switch(c, &s, "roll-back", e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s.list.n && s.list.v[i].number < s.list.current; i++)
		before = s.list.v[i].number;
	if (!before)
		return err_set(e, -ERR_NOTFOUND,
			       "there is no generation before the current one (%u)",
			       s.list.current);
	return switch_stored(c, &s, before, e);
}

/* ---- activate ---------------------------------------------------------------------------------
 */

/* At boot a switch cut off by the end of power is ended first, so that links and menu agree with
 * what runs. Where that cannot be done yet, the machine comes up all the same. */
static int open_booted(struct switcher *s, const struct ctx *c, struct err *e)
{
	struct err tmp = ERR_INIT;

	if (switcher_open(s, &c->sw, "activate", true, &tmp) < 0) {
		log_warn("%s", tmp.msg);
		return switcher_open(s, &c->sw, "activate", false, e);
	}
	switcher_report_recovery(s);
	return 0;
}

/* The system that PID 1 was started from. */
static int activate_booted(const struct ctx *c, struct err *e)
{
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct err other = ERR_INIT;
	int rc = open_booted(&s, c, e);

	if (rc < 0)
		return rc;
	if (!s.booted)
		return err_set(e, -ERR_NOTFOUND, "%s is missing", GEN_BOOTED_LINK);
	rc = sys_activate_boot(&s.root, s.booted, &other, e);
	if (other.msg[0])
		log_warn("%s", other.msg);
	return rc;
}

static int run_activate(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	int rc;

	if ((c->boot || c->directories) == (env->nargs == 1))
		return cmd_usage(e, "give either a system, --boot or --directories");
	if (c->boot)
		return activate_booted(c, e);
	rc = switcher_open(&s, &c->sw, "activate", false, e);
	if (rc < 0)
		return rc;
	if (!c->directories)
		return sys_activate(&s.root, env->args[0], e);
	return s.booted ? sys_activate_directories(&s.root, s.booted, e)
			: err_set(e, -ERR_NOTFOUND, "%s is missing", GEN_BOOTED_LINK);
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

#define STORE_OPTS                                                                                 \
	STORE_OPTIONS_BASIC(struct ctx, sw.store), STORE_OPTIONS_BUILD(struct ctx, sw.store),      \
		SYS_EVAL_OPTIONS(struct ctx, eval)
#define DRY_RUN                                                                                    \
	{                                                                                          \
		"dry-run", 'n', CMD_FLAG, offsetof(struct ctx, sw.dry_run), NULL,                  \
			"print the plan, change nothing"                                           \
	}
#define JSON                                                                                       \
	{                                                                                          \
		"json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL, "the plan as JSON"       \
	}
#define CONFIRM                                                                                    \
	{                                                                                          \
		"confirm", 0, CMD_STR, offsetof(struct ctx, confirm), "SECONDS",                   \
			"go back, unless 'cairn system confirm' is said in this time"              \
	}
#define BOOT_ONLY                                                                                  \
	{                                                                                          \
		"boot", 0, CMD_FLAG, offsetof(struct ctx, sw.boot_only), NULL,                     \
			"take effect at the next boot only"                                        \
	}
#define ROOT_OPTION                                                                                \
	{                                                                                          \
		"root", 0, CMD_STR, offsetof(struct ctx, sw.store.root), "DIR",                    \
			"private root: store at DIR/gnu/store"                                     \
	}

#define CONFIRM_HELP                                                                               \
	"With --confirm it is only tried out: services and /etc are switched, and PID 1\n"         \
	"switches them back after SECONDS (60, or 5min) unless 'cairn system confirm' is\n"        \
	"said before. The next boot starts the old generation until then."

static const struct cmd_opt build_opts[] = {
	STORE_OPTS,
	{ "derivation", 'd', CMD_FLAG, offsetof(struct ctx, derivation), NULL,
	  "print the .drv, build nothing" },
	{ "physical", 0, CMD_FLAG, offsetof(struct ctx, physical), NULL,
	  "print the path with the private root in front" },
	{ "root-link", 'r', CMD_STR, offsetof(struct ctx, link), "LINK",
	  "make LINK to the result and keep it from being collected" },
};

const struct cmd sys_cmd_system_build = {
	.name = "build",
	.synopsis = "[CONFIGURATION]",
	.summary = "build the system of a configuration, print its store path",
	CMD_OPTS(build_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.run = run_build,
};

static const struct cmd_opt reconfigure_opts[] = {
	STORE_OPTS, SWITCHER_OPTIONS(struct ctx, sw), DRY_RUN, JSON, BOOT_ONLY, CONFIRM,
};

const struct cmd sys_cmd_reconfigure = {
	.name = "reconfigure",
	.synopsis = "[CONFIGURATION]",
	.summary = "build the system of a configuration and switch this machine to it",
	.help = "Builds everything first, prints what will change, makes a new generation with "
		"its\n"
		"boot menu entry, then switches. Until the switch a failure changes nothing.\n"
		"Without CONFIGURATION it is " CONFIGURATION ".\n" CONFIRM_HELP,
	CMD_OPTS(reconfigure_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.run = run_reconfigure,
};

static const struct cmd_opt switch_opts[] = {
	ROOT_OPTION, SWITCHER_OPTIONS(struct ctx, sw), DRY_RUN, JSON, BOOT_ONLY, CONFIRM,
};

const struct cmd sys_cmd_roll_back = {
	.name = "roll-back",
	.summary = "switch to the generation before the current one",
	.help = "Needs no evaluation, no build daemon and no network.\n" CONFIRM_HELP,
	CMD_OPTS(switch_opts),
	.context_size = sizeof(struct ctx),
	.run = run_roll_back,
};

const struct cmd sys_cmd_switch_generation = {
	.name = "switch-generation",
	.synopsis = "NUMBER",
	.summary = "switch to another generation",
	.help = "Needs no evaluation, no build daemon and no network.\n" CONFIRM_HELP,
	CMD_OPTS(switch_opts),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = 1,
	.run = run_switch,
};

static const struct cmd_opt activate_opts[] = {
	ROOT_OPTION,
	SWITCHER_OPTIONS(struct ctx, sw),
	{ "boot", 0, CMD_FLAG, offsetof(struct ctx, boot), NULL, "activate what was booted" },
	{ "directories", 0, CMD_FLAG, offsetof(struct ctx, directories), NULL,
	  "the directories of what was booted only, emptied where they are to be" },
};

const struct cmd sys_cmd_activate = {
	.name = "activate",
	.synopsis = "[SYSTEM]",
	.summary = "make accounts, /etc and links agree with a system",
	CMD_OPTS(activate_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.run = run_activate,
	.hidden = true,
};
