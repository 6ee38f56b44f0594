/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one command for people. Modules export their commands in their public headers; the tables
 * here put them into one tree. Keep every table sorted by name (a test checks it).
 */
#include <errno.h>
#include <fcntl.h>

#include "image/image.h"
#include "init/init.h"
#include "lib/cmd.h"
#include "lib/complete.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/manual.h"
#include "store/store.h"
#include "system/system.h"

/* Sorted, one a line. */
/* clang-format off */
static const struct cmd *const builder_commands[] = {
	&sys_cmd_builder_cpio,
	&image_cmd_builder_image_docker,
	&image_cmd_builder_image_initramfs,
	&image_cmd_builder_image_iso,
	&image_cmd_builder_image_qcow2,
	&image_cmd_builder_image_raw,
	&image_cmd_builder_image_tarball,
	&sys_cmd_builder_seccomp,
	&sys_cmd_builder_tree,
	NULL,
};
/* clang-format on */

static const struct cmd builder = {
	.name = "builder",
	.summary = "what derivations run",
	.subs = builder_commands,
	.hidden = true,
};

/* clang-format off */
static const struct cmd *const system_commands[] = {
	&sys_cmd_activate,
	&sys_cmd_boot,
	&sys_cmd_system_build,
	&sys_cmd_confirm,
	&sys_cmd_delete_generations,
	&sys_cmd_describe,
	&sys_cmd_diff,
	&sys_cmd_edit,
	&sys_cmd_extension_graph,
	&sys_cmd_find_device,
	&sys_cmd_gc,
	&sys_cmd_hotplug,
	&image_cmd_image,
	&image_cmd_init,
	&sys_cmd_kexec,
	&sys_cmd_label,
	&sys_cmd_list_generations,
	&sys_cmd_mark_good,
	&sys_cmd_pin,
	&sys_cmd_plan,
	&sys_cmd_random_seed,
	&sys_cmd_reconfigure,
	&sys_cmd_revert,
	&sys_cmd_roll_back,
	&sys_cmd_search,
	&sys_cmd_service_graph,
	&sys_cmd_show,
	&sys_cmd_status,
	&sys_cmd_switch_generation,
	&sys_cmd_test,
	&sys_cmd_unpin,
	&sys_cmd_verify,
	&image_cmd_vm,
	NULL,
};
/* clang-format on */

static const struct cmd system_group = {
	.name = "system",
	.summary = "build, switch and roll back the system of a machine",
	.help = "All of them end with the statuses below, as 'cairn install' and 'cairn deploy' "
		"do.",
	.subs = system_commands,
	.statuses = &sys_statuses,
};

static int run_complete(struct cmd_env *env, struct err *e);
static int run_completion(struct cmd_env *env, struct err *e);
static int run_manual(struct cmd_env *env, struct err *e);

static const struct cmd complete = {
	.name = "complete",
	.synopsis = "-- WORD...",
	.summary = "what the last word of a command line may become",
	.max_args = SIZE_MAX,
	.hidden = true,
	.run = run_complete,
};

static const struct cmd completion = {
	.name = "completion",
	.synopsis = "bash|fish|zsh",
	.summary = "print what completes command lines in a shell",
	.examples = "cairn completion bash >/etc/bash_completion.d/cairn",
	.help = "bash:  source <(cairn completion bash)\n"
		"fish:  cairn completion fish | source\n"
		"zsh:   source <(cairn completion zsh)    after compinit",
	.min_args = 1,
	.max_args = 1,
	.run = run_completion,
};

struct manual_ctx {
	const char *directory;
};

static const struct cmd_opt manual_opts[] = {
	{ "directory", 'd', CMD_STR, offsetof(struct manual_ctx, directory), "DIR",
	  "write the pages of all commands into DIR" },
};

static const struct cmd manual = {
	.name = "manual",
	.synopsis = "[COMMAND]",
	.summary = "print the manual page of a command",
	.examples = "cairn manual system | man -l -",
	.help = "To read it:    cairn manual system | man -l -\n"
		"Without COMMAND it is the page that lists all commands.",
	CMD_OPTS(manual_opts),
	.context_size = sizeof(struct manual_ctx),
	.max_args = 1,
	.run = run_manual,
};

/* clang-format off */
static const struct cmd *const commands[] = {
	&store_cmd_archive,
	&sys_cmd_build,
	&builder,
	&store_cmd_challenge,
	&sys_cmd_channel,
	&complete,
	&completion,
	&store_cmd_copy,
	&store_cmd_daemon,
	&sys_cmd_deploy,
	&store_cmd_exec,
	&init_cmd_halt,
	&image_cmd_install,
	&manual,
	&sys_cmd_package,
	&init_cmd_poweroff,
	&store_cmd_publish,
	&sys_cmd_pull,
	&init_cmd_reboot,
	&sys_cmd_repl,
	&init_cmd_service,
	&sys_cmd_shell,
	&store_cmd_store,
	&system_group,
	NULL,
};
/* clang-format on */

static const struct cmd root = {
	.name = "cairn",
	.summary = "Build, install, run and roll back a Cairn system",
	.subs = commands,
};

static int print(const char *text, struct err *e)
{
	if (fputs(text, stdout) == EOF || fflush(stdout) != 0)
		return err_sys(e, "standard output");
	return 0;
}

static int run_complete(struct cmd_env *env, struct err *e)
{
	auto_str struct str out = STR_INIT;

	complete_words(&root, env->args, env->nargs, &out);
	return str_err(&out) ? err_num(e, str_err(&out), "output") : print(out.buf, e);
}

static int run_completion(struct cmd_env *env, struct err *e)
{
	const char *script = complete_script(env->args[0]);

	if (!script)
		return cmd_usage(e, "there is no completion for '%s', but for bash, fish and zsh",
				 env->args[0]);
	return print(script, e);
}

static int write_manual(const char *dir, const struct cmd *of, struct err *e)
{
	auto_str struct str page = STR_INIT, path = STR_INIT;

	manual_page(&root, of, CAIRN_VERSION, &page);
	str_addf(&path, of == &root ? "%s/cairn.1" : "%s/cairn-%s.1", dir, of->name);
	if (str_err(&page) || str_err(&path))
		return err_num(e, -ENOMEM, "%s: manual pages", dir);
	return file_write_atomic(AT_FDCWD, path.buf, page.buf, page.len, 0644, e);
}

static int write_manuals(const char *dir, struct err *e)
{
	int r = file_mkdir_p(AT_FDCWD, dir, 0755, e);

	if (r == 0)
		r = write_manual(dir, &root, e);
	for (size_t i = 0; r == 0 && commands[i]; i++)
		if (!commands[i]->hidden)
			r = write_manual(dir, commands[i], e);
	return r;
}

static int run_manual(struct cmd_env *env, struct err *e)
{
	const struct manual_ctx *ctx = env->ctx;
	auto_str struct str out = STR_INIT;
	const struct cmd *of = env->nargs ? NULL : &root;

	if (ctx->directory)
		return env->nargs ? cmd_usage(e, "--directory is for all commands")
				  : write_manuals(ctx->directory, e);
	for (size_t i = 0; env->nargs && commands[i]; i++)
		if (!commands[i]->hidden && strcmp(commands[i]->name, env->args[0]) == 0)
			of = commands[i];
	if (!of)
		return cmd_usage(e, "there is no command '%s'", env->args[0]);
	manual_page(&root, of, CAIRN_VERSION, &out);
	return str_err(&out) ? err_num(e, str_err(&out), "output") : print(out.buf, e);
}

int main(int argc, char **argv)
{
	log_init("cairn");
	return cmd_main(&root, argc, argv, CAIRN_VERSION);
}
