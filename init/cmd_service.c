/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn service …, cairn reboot, cairn poweroff, cairn halt */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "init/commands.h"
#include "init/init.h"
#include "init/view.h"
#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"

/* ---- start, stop, restart, reload ------------------------------------------------------------*/

struct action_ctx {
	bool no_wait;
};

static const struct cmd_opt action_opts[] = {
	{ "no-wait", 0, CMD_FLAG, offsetof(struct action_ctx, no_wait), NULL,
	  "return at once, not when it has settled" },
};

static int run_action(struct cmd_env *env, enum init_action what, struct err *e)
{
	bool wait = !((struct action_ctx *)env->ctx)->no_wait;
	int r = 0;

	for (size_t i = 0; r == 0 && i < env->nargs; i++) {
		const char *name = env->args[i];
		r = init_client_action(what, name, wait, e);
		if (r < 0 && !strstr(e->msg, name)) /* a reason alone */
			return err_wrap(e, r, "%s", name);
	}
	return r;
}

static int run_start(struct cmd_env *env, struct err *e)
{
	return run_action(env, INIT_START, e);
}

static int run_stop(struct cmd_env *env, struct err *e)
{
	return run_action(env, INIT_STOP, e);
}

static int run_restart(struct cmd_env *env, struct err *e)
{
	return run_action(env, INIT_RESTART, e);
}

static int run_reload(struct cmd_env *env, struct err *e)
{
	return run_action(env, INIT_RELOAD, e);
}

static int run_trigger(struct cmd_env *env, struct err *e)
{
	return run_action(env, INIT_TRIGGER, e);
}

/* ---- load, check -----------------------------------------------------------------------------*/

struct load_ctx {
	bool dry_run, no_wait, all;
};

static const struct cmd_opt load_opts[] = {
	{ "all", 'a', CMD_FLAG, offsetof(struct load_ctx, all), NULL, "print unchanged ones too" },
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct load_ctx, dry_run), NULL,
	  "only print what would happen" },
	{ "no-wait", 0, CMD_FLAG, offsetof(struct load_ctx, no_wait), NULL,
	  "return at once, not when all services have settled" },
};

struct changes {
	struct vec lines; /* "name change", owned */
	bool all;
};

static int add_change(void *arg, const char *name, const char *change)
{
	struct changes *c = arg;
	struct str line = STR_INIT;

	if (!c->all && strcmp(change, "keep") == 0)
		return 0;
	str_addf(&line, "%s %s", name, change);
	char *text = str_take(&line);
	if (!text)
		return -ENOMEM;
	vec_add(&c->lines, text);
	return c->lines.err;
}

static int print_changes(struct changes *c, struct err *e)
{
	auto_str struct str out = STR_INIT;

	vec_sort_str(&c->lines);
	for (size_t i = 0; i < c->lines.n; i++) {
		/* Told twice by a PID 1 that crashed in between. */
		if (i > 0 && strcmp(c->lines.v[i], c->lines.v[i - 1]) == 0)
			continue;
		struct slice change = slice_of(c->lines.v[i]), name;
		slice_cut(&change, ' ', &name);
		str_addf(&out, "%.*s %.*s\n", (int)change.n, change.p, (int)name.n, name.p);
	}
	return view_print(&out, e);
}

static void changes_done(struct changes *c)
{
	for (size_t i = 0; i < c->lines.n; i++)
		free(c->lines.v[i]);
	vec_done(&c->lines);
}

static int run_load(struct cmd_env *env, struct err *e)
{
	struct load_ctx *ctx = env->ctx;
	struct changes changes = { .lines = VEC_INIT, .all = ctx->all };
	auto_free char *path = realpath(env->args[0], NULL);

	if (!path)
		return err_sys(e, "%s", env->args[0]);
	int r = init_client_load(path, ctx->dry_run, !ctx->no_wait, add_change, &changes, e);
	/* A load that some service did not survive took place all the same. */
	if (r == 0 || r == -ECANCELED) {
		struct err ignored = ERR_INIT;
		int p = print_changes(&changes, r < 0 ? &ignored : e);
		r = r < 0 ? r : p;
	}
	changes_done(&changes);
	return r;
}

static int run_check(struct cmd_env *env, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < env->nargs; i++)
		r = init_set_check(env->args[i], e);
	return r;
}

static int run_compare(struct cmd_env *env, struct err *e)
{
	struct changes changes = { .lines = VEC_INIT, .all = true };
	int r = init_set_compare(env->args[0], env->args[1], add_change, &changes, e);

	if (r == 0)
		r = print_changes(&changes, e);
	changes_done(&changes);
	return r;
}

/* ---- re-exec ---------------------------------------------------------------------------------*/

/* Whatever PID 1 executes is PID 1 then: ask it first what it is. */
static int check_program(const char *path, struct err *e)
{
	const char *argv[] = { path, "--version", NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_str struct str out = STR_INIT;
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char magic[4];

	if (fd < 0)
		return err_sys(e, "%s", path);
	/* What a script's interpreter does with a descriptor PID 1 would not live to tell. */
	if (fd_read_some(fd, magic, sizeof(magic)) != sizeof(magic) ||
	    memcmp(magic, "\177ELF", sizeof(magic)) != 0)
		return err_set(e, -ERR_INVALID, "%s is no program of the kernel's own format (ELF)",
			       path);
	spec.argv = argv;
	int r = proc_output(&spec, &out, 1 << 16, e);
	if (r < 0)
		return r;
	if (!slice_starts(str_slice(&out), "cairn-init "))
		return err_set(e, -ERR_INVALID, "%s is no cairn-init", path);
	/* An earlier one would begin as at boot, beside what runs. */
	if (!strstr(out.buf, "\nadopts 1\n"))
		return err_set(e, -ERR_UNSUPPORTED,
			       "%s cannot take over what runs [it will at the next boot]", path);
	return 0;
}

static int run_reexec(struct cmd_env *env, struct err *e)
{
	auto_free char *path = NULL;
	int r = 0;

	if (env->nargs > 0) {
		path = realpath(env->args[0], NULL);
		if (!path)
			return err_sys(e, "%s", env->args[0]);
		r = check_program(path, e);
	}
	return r < 0 ? r : init_client_reexec(path, e);
}

/* ---- tables ----------------------------------------------------------------------------------*/

static const struct cmd cmd_check = {
	.name = "check",
	.synopsis = "SET...",
	.summary = "check service sets without loading them",
	.examples = "cairn service check web.conf",
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_check,
};

static const struct cmd cmd_compare = {
	.name = "compare",
	.synopsis = "OLD NEW",
	.summary = "tell what loading NEW over OLD would do",
	.examples = "cairn service compare /run/current-system/services new/services",
	.min_args = 2,
	.max_args = 2,
	.run = run_compare,
};

static const struct cmd cmd_load = {
	.name = "load",
	.synopsis = "SET",
	.summary = "apply a service set to the running machine",
	.examples = "cairn service load -n web.conf    what it would do",
	.help = "Services whose definition did not change keep running. An error in the set\n"
		"changes nothing.",
	CMD_OPTS(load_opts),
	.context_size = sizeof(struct load_ctx),
	.min_args = 1,
	.max_args = 1,
	.run = run_load,
};

static const struct cmd cmd_reexec = {
	.name = "re-exec",
	.synopsis = "[PROGRAM]",
	.summary = "execute PID 1 again, with all services kept",
	.examples = "cairn service re-exec /run/current-system/init",
	.help = "PROGRAM: another cairn-init, which goes on in place of the one that runs.",
	.max_args = 1,
	.run = run_reexec,
};

static const struct cmd cmd_reload = {
	.name = "reload",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "tell services to read their configuration again",
	.examples = "cairn service reload wifi",
	CMD_OPTS(action_opts),
	.context_size = sizeof(struct action_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_reload,
};

static const struct cmd cmd_restart = {
	.name = "restart",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "stop and start services, and those that require them",
	.examples = "cairn service restart openssh",
	CMD_OPTS(action_opts),
	.context_size = sizeof(struct action_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_restart,
};

static const struct cmd cmd_start = {
	.name = "start",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "start services and what they require",
	.examples = "cairn service start ntp",
	CMD_OPTS(action_opts),
	.context_size = sizeof(struct action_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_start,
};

static const struct cmd cmd_stop = {
	.name = "stop",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "stop services, and first those that require them",
	.examples = "cairn service stop ntp",
	CMD_OPTS(action_opts),
	.context_size = sizeof(struct action_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_stop,
};

static int run_custom(struct cmd_env *env, struct err *e)
{
	return init_client_custom(env->args[0], env->args[1], e);
}

static const struct cmd cmd_action = {
	.name = "action",
	.synopsis = "SERVICE ACTION",
	.operands = view_names,
	.summary = "run an action that a service has besides start and stop",
	.examples = "cairn service action database backup",
	.min_args = 2,
	.max_args = 2,
	.run = run_custom,
};

static const struct cmd cmd_trigger = {
	.name = "trigger",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "run timed services now, whatever their times are",
	.examples = "cairn service trigger compress-logs",
	CMD_OPTS(action_opts),
	.context_size = sizeof(struct action_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_trigger,
};

/* Sorted, one a line. */
/* clang-format off */
static const struct cmd *const service_subs[] = {
	&cmd_action,
	&service_cmd_blame,
	&cmd_check,
	&cmd_compare,
	&service_cmd_disable,
	&service_cmd_enable,
	&service_cmd_graph,
	&service_cmd_list,
	&cmd_load,
	&service_cmd_log,
	&service_cmd_mask,
	&cmd_reexec,
	&cmd_reload,
	&cmd_restart,
	&service_cmd_run,
	&cmd_start,
	&service_cmd_status,
	&cmd_stop,
	&service_cmd_timeline,
	&service_cmd_tree,
	&cmd_trigger,
	&service_cmd_unmask,
	&service_cmd_wait,
	&service_cmd_watch,
	NULL,
};
/* clang-format on */

const struct cmd init_cmd_service = {
	.name = "service",
	.summary = "look at and control the services of this machine",
	.subs = service_subs,
};

struct power_ctx {
	bool kexec;
};

static int run_power(struct cmd_env *env, struct err *e)
{
	return init_client_shutdown(env->cmd->name, e);
}

/* Told now, while there is a machine to load one. */
static int run_reboot(struct cmd_env *env, struct err *e)
{
	const struct power_ctx *c = env->ctx;
	char loaded = '0';

	if (!c->kexec)
		return run_power(env, e);
	auto_fd int fd = open("/sys/kernel/kexec_loaded", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_read_some(fd, &loaded, 1) != 1 || loaded != '1')
		return err_hint(e, err_set(e, -ERR_NOTFOUND, "no kernel is loaded"),
				"'cairn system kexec' loads that of the current generation");
	return init_client_shutdown("kexec", e);
}

const struct cmd init_cmd_halt = {
	.name = "halt",
	.summary = "stop all services and halt the machine",
	.examples = "cairn halt",
	.run = run_power,
};

const struct cmd init_cmd_poweroff = {
	.name = "poweroff",
	.summary = "stop all services and switch the machine off",
	.examples = "cairn poweroff",
	.run = run_power,
};

static const struct cmd_opt reboot_opts[] = {
	{ "kexec", 0, CMD_FLAG, offsetof(struct power_ctx, kexec), NULL,
	  "start the kernel that was loaded, without the firmware" },
};

const struct cmd init_cmd_reboot = {
	.name = "reboot",
	.summary = "stop all services and reboot the machine",
	.examples = "cairn reboot\n"
		    "cairn reboot --kexec    'cairn system kexec' loaded a kernel",
	CMD_OPTS(reboot_opts),
	.context_size = sizeof(struct power_ctx),
	.run = run_reboot,
};
