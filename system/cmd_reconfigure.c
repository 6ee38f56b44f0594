/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system build, plan, test, boot, reconfigure: from a configuration. */
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "lib/text.h"
#include "system/cmd_switch.h"
#include "system/devices.h"
#include "system/remote.h"
#include "system/secrets.h"
#include "system/system.h"
#include "system/whole.h"

#define CONFIGURATION "/etc/cairn/system.lua"
/* For links, the menu, accounts, and what directories grow by. */
#define SPARE_BYTES (4ull << 20)

static const char *configuration(const struct cmd_env *env)
{
	return env->nargs ? env->args[0] : CONFIGURATION;
}

static int print_line(const char *text, struct err *e)
{
	printf("%s\n", text);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* ---- build ------------------------------------------------------------------------------------
 */

struct build_ctx {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *link;
	bool derivation, physical, dry_run, json;
};

/* Values of secrets are on the machine that is to have the system, which need not be this one. */
static bool has_values(const struct sys_root *sketch, const char *path)
{
	struct err why = ERR_INIT;

	if (secrets_check(sketch, path, &why) == 0)
		return true;
	fprintf(stderr, "warning: values of secrets are not looked for in the system: %s\n",
		why.msg);
	return false;
}

static int build(const struct build_ctx *c, struct wanted *w, struct store_conn *conn,
		 struct err *e)
{
	const char *path = c->derivation ? w->res->drv : w->res->value;
	const struct sys_root sketch = { "", w->dir }, built = { "", store_conn_root(conn) };
	bool scan = has_values(&sketch, w->res->value);
	/* Before anything of it is in the store. */
	int rc = scan ? secrets_scan_text(&sketch, w->res->value, sys_eval_text(w->ev), e) : 0;

	if (rc == 0)
		rc = c->derivation ? sys_eval_add(w->ev, conn, e)
				   : sys_eval_build(w->ev, conn, "system", e);
	if (rc == 0 && scan && !c->derivation)
		rc = secrets_scan(&built, conn, NULL, path, e);
	if (rc == 0 && c->link)
		rc = store_add_root(conn, c->link, path, e);
	return rc;
}

static int print_build(const struct build_ctx *c, const struct wanted *w, const char *path,
		       const struct vec *missing, struct err *e)
{
	const struct vec *warnings = sys_eval_warnings(w->ev);
	auto_str struct str out = STR_INIT;

	if (!c->json && !c->dry_run)
		return print_line(path, e);
	if (!c->json) {
		for (size_t i = 0; i < missing->n; i++)
			str_addf(&out, "%s\n", (const char *)missing->v[i]);
		fputs(str_err(&out) ? "" : out.buf ? out.buf : "", stdout);
		fprintf(stderr, "%zu derivation%s to build or to fetch\n", missing->n,
			missing->n == 1 ? "" : "s");
		return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
	}
	str_add(&out, "{\"system\":");
	text_json(&out, slice_of(path));
	str_add(&out, ",\"derivation\":");
	text_json(&out, slice_of(w->res->drv));
	str_addf(&out, ",\"built\":%s,\"missing\":[",
		 c->dry_run || c->derivation ? "false" : "true");
	for (size_t i = 0; i < missing->n; i++) {
		str_add(&out, i ? "," : "");
		text_json(&out, slice_of(missing->v[i]));
	}
	str_add(&out, "],\"warnings\":[");
	for (size_t i = 0; i < warnings->n; i++) {
		str_add(&out, i ? "," : "");
		text_json(&out, slice_of(warnings->v[i]));
	}
	str_add(&out, "]}");
	return str_err(&out) ? err_set(e, -ENOMEM, "out of memory") : print_line(out.buf, e);
}

static int run_build(struct cmd_env *env, struct err *e)
{
	const struct build_ctx *c = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec missing = VEC_INIT;
	auto_wanted struct wanted w = WANTED_INIT;
	struct store_conn *conn = NULL;
	int rc = c->dry_run ? wanted_eval(&w, &c->eval, configuration(env), e)
			    : wanted_open(&w, &c->eval, configuration(env), false, e);

	if (rc == 0)
		rc = store_open(&c->store, &conn, e);
	if (rc == 0)
		rc = c->dry_run ? sys_eval_missing(w.ev, conn, &missing, e) : build(c, &w, conn, e);
	if (rc == 0) {
		const char *path = c->derivation ? w.res->drv : w.res->value;

		path = c->physical ? store_conn_physical(conn, &a, path) : path;
		rc = path ? print_build(c, &w, path, &missing, e)
			  : err_set(e, -ENOMEM, "out of memory");
	}
	store_close(conn);
	return rc;
}

/* ---- reconfigure and its kin ------------------------------------------------------------------
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

/* Room for everything that has to be fetched, unpacked beside what is there. What has to be built
 * nobody can tell. */
static int check_room(const struct plan *p, struct store_conn *conn, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *dir = store_conn_physical(conn, &a, store_conn_dir(conn));
	uint64_t need = p->unpacked + SPARE_BYTES, have;
	char want[16], free[16];
	struct statvfs fs;

	if (!dir)
		return err_set(e, -ENOMEM, "out of memory");
	if (statvfs(dir, &fs) < 0)
		return err_sys(e, "%s", dir);
	have = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (need <= have)
		return 0;
	text_human(need, want);
	text_human(have, free);
	return err_hint(e,
			err_set(e, -ERR_SPACE,
				"the store has %s free, %s are needed (%llu of %llu bytes missing)",
				free, want, (unsigned long long)(need - have),
				(unsigned long long)need),
			"cairn system gc --keep N frees what old generations have");
}

/* Built, in the store for good, and kept by this connection until its link is made. */
static int realise_goal(struct wanted *w, struct store_conn *conn, struct err *e)
{
	int rc = sys_eval_build(w->ev, conn, "system", e);

	return rc == 0 ? store_add_temp_root(conn, w->res->value, e) : rc;
}

static int reconfigure(struct change *c, struct switcher *s, struct wanted *w,
		       struct store_conn *conn, struct err *e)
{
	const char *path = w->res->value, *current = switcher_current(s);
	bool same = current && strcmp(current, path) == 0;
	const struct goal g = { same ? s->list.current : gen_next(&s->list), path, !same };
	const struct plan_side to = wanted_side(w);
	const struct plan_sizer z = { conn, !c->sw.store.no_substitutes, wanted_refs, w };
	struct plan p = PLAN_INIT;
	int rc = sys_eval_check(w->ev, conn, e);

	p.warnings = sys_eval_warnings(w->ev);
	if (rc == 0)
		rc = change_plan(c, s, &g, &to, &z, &p, e);
	if (rc == 0 && !c->skip_checks && sys_root_is_machine(&s->root))
		rc = devices_check(&s->root, current, &to.root, path, e);
	/* Before anything of it is in the store. */
	if (rc == 0)
		rc = secrets_scan_text(&(const struct sys_root){ s->root.target, to.root.store },
				       path, sys_eval_text(w->ev), e);
	if (rc == 0 && !c->sw.dry_run)
		rc = check_room(&p, conn, e);
	if (rc == 0 && !c->sw.dry_run)
		rc = realise_goal(w, conn, e);
	if (rc == 0 && !c->sw.dry_run)
		rc = secrets_scan(&s->root, conn, current, path, e);
	/* What was there before it was built may have lost something since. */
	if (rc == 0 && !c->sw.dry_run)
		rc = whole_check(&s->root,
				 &(const struct whole){ path, same ? g.number : 0,
							store_conn_state(conn), c->skip_checks },
				 e);
	/* Where nothing is to be done there is nothing to start, either. */
	if (rc == 0 && c->boot_test.kind != TEST_NONE &&
	    !(c->fail_unchanged && change_is_nothing(c, s, &g, &p))) {
		wanted_drop_sketch(w);
		rc = test_boot_run(&c->boot_test, &s->root, path, e);
	}
	if (rc == 0)
		rc = change_go(c, s, &g, &p, e);
	if (rc == 0 && !c->sw.json) {
		rc = print_line(path, e);
		if (rc < 0 && !c->sw.dry_run)
			rc = change_not_told(&g, e);
	}
	plan_done(&p);
	return rc;
}

static int report_there(const struct change *c, const struct remote_host *h, const char *path,
			const struct remote_result *x, struct err *e)
{
	auto_str struct str out = STR_INIT;

	if (!c->sw.json) {
		fprintf(stderr,
			x->unchanged ? "%s: generation %u is what it has\n"
				     : "%s: switched to generation %u%s\n",
			h->name, x->to, x->confirmed ? ", confirmed over a new connection" : "");
		return print_line(path, e);
	}
	str_add(&out, "{\"host\":");
	text_json(&out, slice_of(h->name));
	str_addf(&out, ",\"result\":\"%s\",\"from\":%u,\"to\":%u,\"confirmed\":%s,\"system\":",
		 c->sw.dry_run	? "planned"
		 : x->unchanged ? "unchanged"
				: "switched",
		 x->from, x->to, x->confirmed ? "true" : "false");
	text_json(&out, slice_of(path));
	str_addc(&out, '}');
	return str_err(&out) ? err_set(e, -ENOMEM, "out of memory") : print_line(out.buf, e);
}

static int switch_there(const struct change *c, const struct remote_host *h, const char *path,
			struct err *e)
{
	const struct remote_opts o = { &c->sw.store,
				       c->no_confirm || c->sw.boot_only ? 0
				       : c->seconds			? c->seconds
									: REMOTE_CONFIRM,
				       c->sw.boot_only };
	auto_str struct str plan = STR_INIT;
	struct remote_result x = { 0 };
	int rc;

	if (c->sw.dry_run) {
		fprintf(stderr, "%s: nothing was copied there or changed\n", h->name);
		return c->sw.json ? report_there(c, h, path, &x, e) : print_line(path, e);
	}
	rc = remote_copy(h, &o, path, e);
	if (rc == 0 && !c->sw.json)
		rc = remote_plan(h, &o, path, &plan, e);
	if (rc == 0 && !c->sw.json)
		fputs(plan.buf, stdout);
	if (rc == 0)
		rc = remote_switch(h, &o, path, &x, e);
	if (rc == 0 && x.unchanged && c->fail_unchanged)
		return err_set(e, -ERR_UNCHANGED, "%s: nothing to do: %s is what it has", h->name,
			       path);
	return rc < 0 ? rc : report_there(c, h, path, &x, e);
}

/* --test and --test-timeout: said before anything is built. */
static int prepare_test(struct change *c, const char *config, struct err *e)
{
	int rc = test_boot_parse(c->test_in, c->test_timeout, &c->boot_test, e);

	if (rc == 0 && c->boot_test.kind != TEST_NONE && c->sw.dry_run)
		return cmd_usage(e, "--test starts what is built: not with --dry-run");
	c->boot_test.config = config;
	c->boot_test.store = &c->sw.store;
	c->boot_test.eval = &c->eval;
	return rc == 0 ? test_boot_check(&c->boot_test, e) : rc;
}

static int run_as(struct cmd_env *env, const char *verb, struct err *e)
{
	struct change *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	auto_wanted struct wanted w = WANTED_INIT;
	struct store_conn *conn = NULL;
	int rc = prepare_test(c, configuration(env), e);

	if (rc == 0)
		rc = change_open(c, &s, verb, e);
	if (rc < 0)
		return rc;
	if (!c->sw.store.root && s.root.store[0])
		c->sw.store.root = s.root.store;
	rc = store_open(&c->sw.store, &conn, e);
	if (rc == 0)
		rc = check_store(&s, conn, e);
	if (rc == 0)
		rc = wanted_open(&w, &c->eval, configuration(env), sys_root_is_machine(&s.root), e);
	if (rc == 0)
		rc = reconfigure(c, &s, &w, conn, e);
	store_close(conn);
	return rc;
}

/* Another machine: built here, switched there. */
static int run_there(struct cmd_env *env, struct err *e)
{
	struct change *c = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	auto_wanted struct wanted w = WANTED_INIT;
	struct store_conn *conn = NULL;
	struct remote_host h;
	int rc = remote_host_parse(&a, c->target_host, &h, e);

	if (rc == 0 && c->sw.target)
		rc = cmd_usage(e, "--target-root and --target-host do not go together");
	if (rc == 0 && c->no_confirm && c->confirm)
		rc = cmd_usage(e, "--confirm and --no-confirm do not go together");
	if (rc == 0 && (c->test_in || c->test_timeout))
		rc = cmd_usage(e, "--test is for this machine: not with --target-host");
	if (rc == 0 && c->skip_checks)
		rc = cmd_usage(e, "--skip-checks: the devices of --target-host are not looked for");
	if (rc == 0 && c->fail_unchanged && c->sw.dry_run)
		rc = cmd_usage(e, "--fail-if-unchanged: a dry run does not ask --target-host");
	if (rc == 0)
		rc = change_seconds(c, e);
	h.program = c->target_program;
	h.root = c->target_there;
	if (rc == 0)
		rc = remote_host_check(&h, e);
	if (rc == 0)
		rc = wanted_eval(&w, &c->eval, configuration(env), e);
	if (rc == 0)
		rc = store_open(&c->sw.store, &conn, e);
	if (rc == 0)
		rc = realise_goal(&w, conn, e);
	if (rc == 0)
		rc = switch_there(c, &h, w.res->value, e);
	store_close(conn);
	return rc;
}

static int run_reconfigure(struct cmd_env *env, struct err *e)
{
	if (((struct change *)env->ctx)->target_host)
		return run_there(env, e);
	return run_as(env, "reconfigure", e);
}

static int run_boot(struct cmd_env *env, struct err *e)
{
	((struct change *)env->ctx)->sw.boot_only = true;
	return run_as(env, "boot", e);
}

static int run_test(struct cmd_env *env, struct err *e)
{
	((struct change *)env->ctx)->test = true;
	return run_as(env, "test", e);
}

static int run_plan(struct cmd_env *env, struct err *e)
{
	((struct change *)env->ctx)->sw.dry_run = true;
	return run_as(env, "plan", e);
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

#define STORE_OPTS(type, f)                                                                        \
	STORE_OPTIONS_BASIC(type, f), STORE_OPTIONS_BUILD(type, f), SYS_EVAL_OPTIONS(type, eval)

static const struct cmd_opt build_opts[] = {
	STORE_OPTS(struct build_ctx, store),
	{ "derivation", 'd', CMD_FLAG, offsetof(struct build_ctx, derivation), NULL,
	  "print the .drv, build nothing" },
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct build_ctx, dry_run), NULL,
	  "list the derivations that would be built or fetched" },
	{ "json", 0, CMD_FLAG, offsetof(struct build_ctx, json), NULL, "as JSON" },
	{ "physical", 0, CMD_FLAG, offsetof(struct build_ctx, physical), NULL,
	  "print the path with the private root in front" },
	{ "root-link", 'r', CMD_STR, offsetof(struct build_ctx, link), "LINK",
	  "make LINK to the result and keep it from being collected" },
};

const struct cmd sys_cmd_system_build = {
	.name = "build",
	.synopsis = "[CONFIGURATION]",
	.summary = "build the system of a configuration, print its store path",
	.examples = "cairn system build -r result examples/minimal.lua",
	CMD_OPTS(build_opts),
	.context_size = sizeof(struct build_ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_build,
};

#define CHANGE_OPTS                                                                                \
	STORE_OPTS(struct change, sw.store), SWITCHER_OPTIONS(struct change, sw), CHANGE_JSON,     \
		CHANGE_SKIP_CHECKS
#define CHANGE_SKIP_CHECKS                                                                         \
	{                                                                                          \
		"skip-checks", 0, CMD_FLAG, offsetof(struct change, skip_checks), NULL,            \
			"go on without devices of new file systems, and items no boot needs"       \
	}
#define WITHOUT "Without CONFIGURATION it is " CONFIGURATION "."

#define TEST_HELP                                                                                  \
	"With --test the system is started first, in a container of this machine or in QEMU:\n"    \
	"when a service of it fails there, or is not up in time, nothing is switched."

static const struct cmd_opt reconfigure_opts[] = {
	CHANGE_OPTS,
	CHANGE_DRY_RUN,
	CHANGE_BOOT_ONLY,
	CHANGE_CONFIRM,
	CHANGE_UNCHANGED,
	CHANGE_TEST,
	{ "target-host", 0, CMD_STR, offsetof(struct change, target_host), "[USER@]HOST[:PORT]",
	  "build here, and switch that machine, over OpenSSH" },
	{ "no-confirm", 0, CMD_FLAG, offsetof(struct change, no_confirm), NULL,
	  "with --target-host: switch for good at once" },
	{ "target-program", 0, CMD_STR, offsetof(struct change, target_program), "PATH",
	  "with --target-host: cairn there, in place of the system's own" },
	{ "target-host-root", 0, CMD_STR, offsetof(struct change, target_there), "DIR",
	  "with --target-host: its machine is below DIR, and its store" },
};

const struct cmd sys_cmd_reconfigure = {
	.name = "reconfigure",
	.synopsis = "[CONFIGURATION]",
	.summary = "build the system of a configuration and switch this machine to it",
	.examples = "cairn system reconfigure                      /etc/cairn/system.lua\n"
		    "cairn system reconfigure --confirm 120        it goes back unless 'cairn "
		    "system confirm' comes\n"
		    "cairn system reconfigure --test vm new.lua    only if it comes up in QEMU\n"
		    "cairn system reconfigure --target-host root@web.example.org web.lua",
	.help = "Prints what will change, fetches and builds everything, makes a new generation "
		"with\n"
		"its boot menu entry, then switches. Until the switch a failure changes "
		"nothing.\n" WITHOUT "\n" CHANGE_CONFIRM_HELP
		"\nOf --target-host this is the default, for 120 s: the new generation is "
		"confirmed\n"
		"over a new connection, or else that machine goes back by itself.\n" TEST_HELP,
	CMD_OPTS(reconfigure_opts),
	.context_size = sizeof(struct change),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_reconfigure,
};

static const struct cmd_opt boot_opts[] = { CHANGE_OPTS, CHANGE_DRY_RUN, CHANGE_UNCHANGED,
					    CHANGE_TEST };

const struct cmd sys_cmd_boot = {
	.name = "boot",
	.synopsis = "[CONFIGURATION]",
	.summary = "build the system of a configuration; the next boot starts it",
	.examples = "cairn system boot    /etc/cairn/system.lua, from the next boot on",
	.help = "As 'reconfigure', but what runs is left alone.\n" WITHOUT "\n" TEST_HELP,
	CMD_OPTS(boot_opts),
	.context_size = sizeof(struct change),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_boot,
};

const struct cmd sys_cmd_test = {
	.name = "test",
	.synopsis = "[CONFIGURATION]",
	.summary = "build the system of a configuration and run it until the next boot",
	.examples = "cairn system test    /etc/cairn/system.lua, until the next boot",
	.help = "Services and /etc are switched; there is no new generation, and the boot menu "
		"stays\n"
		"as it is. 'cairn system switch-generation' goes back at once.\n" WITHOUT
		"\n" TEST_HELP,
	CMD_OPTS(boot_opts),
	.context_size = sizeof(struct change),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_test,
};

static const struct cmd_opt plan_opts[] = { CHANGE_OPTS, CHANGE_BOOT_ONLY };

const struct cmd sys_cmd_plan = {
	.name = "plan",
	.synopsis = "[CONFIGURATION]",
	.summary = "print what 'reconfigure' would change",
	.examples = "cairn system plan    what /etc/cairn/system.lua would change",
	.help = "Fetches and builds nothing. Services are what PID 1 says that it would do, "
		"unless\n"
		"--boot leaves it alone.\n" WITHOUT,
	CMD_OPTS(plan_opts),
	.context_size = sizeof(struct change),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_plan,
};
