/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system kexec: the current generation's kernel without the firmware's and the boot loader's
 * time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/text.h"
#include "system/switcher.h"
#include "system/system.h"

#define LIMIT_PARAMETERS 4096
#ifndef SYS_kexec_file_load
#define SYS_kexec_file_load 320
#endif

struct ctx {
	struct switcher_opts sw;
	bool load;
};

/* Of a boot on trial the boot loader keeps count, and this one would not be counted. */
static int check_trial(struct switcher *s, const char *path, struct err *e)
{
	struct sys_menu menu;
	struct boot_count count = { 0 };
	int rc = sys_menu_load(&s->root, &s->arena, path, &menu, e);

	if (rc < 0)
		return rc;
	struct boot_place place = sys_menu_place(&s->root, &menu);
	if (boot_counts(&place) && (rc = boot_count_load(&place, &count, e)) < 0)
		return rc;
	if (count.trial != s->list.current || !count.good)
		return 0;
	return err_hint(e,
			err_set(e, -ERR_INVALID,
				"generation %u is on trial: the boot loader has to count its boots",
				s->list.current),
			"cairn reboot");
}

static int open_part(struct switcher *s, const char *path, const char *name, struct err *e)
{
	const char *file = gen_part(&s->root, &s->arena, path, name);
	int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	return fd < 0 ? err_sys(e, "%s", file) : fd;
}

/* dry: all but the load itself, which the kernel alone can refuse. */
static int load(struct switcher *s, const char *path, bool dry, struct err *e)
{
	auto_str struct str line = STR_INIT;
	auto_fd int kernel = open_part(s, path, "kernel", e);
	if (kernel < 0)
		return kernel;
	auto_fd int initrd = open_part(s, path, "initrd", e);
	if (initrd < 0)
		return initrd;
	auto_fd int parameters = open_part(s, path, "parameters", e);
	if (parameters < 0)
		return parameters;
	int rc = fd_read_all(parameters, &line, LIMIT_PARAMETERS);
	if (rc < 0)
		return err_num(e, rc, "%s/parameters", path);
	while (line.len && line.buf[line.len - 1] == '\n')
		str_cut(&line, line.len - 1);
	if (dry)
		return 0;
	if (syscall(SYS_kexec_file_load, kernel, initrd, line.len + 1, line.buf, 0ul) == 0)
		return 0;
	rc = err_sys(e, "the kernel that runs does not take %s/kernel", path);
	return rc == -EPERM
		       ? err_hint(e, rc,
				  "only root may load one, and a locked down kernel takes none")
		       : rc;
}

static int report(const struct ctx *c, const struct switcher *s, const char *path, struct err *e)
{
	auto_str struct str out = STR_INIT;

	if (c->sw.json) {
		str_addf(&out, "{\"result\":\"%s\",\"generation\":%u,\"system\":",
			 c->sw.dry_run ? "planned"
			 : c->load     ? "loaded"
				       : "reboot",
			 s->list.current);
		text_json(&out, slice_of(path));
		str_add(&out, "}\n");
	} else if (c->sw.dry_run) {
		str_addf(&out, "would %s the kernel of generation %u\t%s\n",
			 c->load ? "load" : "start", s->list.current, path);
	}
	if (str_err(&out))
		return err_set(e, -ENOMEM, "out of memory");
	fputs(out.buf, stdout);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static int run(struct cmd_env *env, struct err *e)
{
	static const char *const reboot[] = { "/proc/self/exe", "reboot", "--kexec", NULL };
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	int rc = switcher_open(&s, &c->sw, "kexec", false, e);
	const char *path = rc == 0 ? switcher_current(&s) : NULL;

	if (rc == 0 && !path)
		rc = err_set(e, -ERR_NOTFOUND, "there is no generation");
	if (rc == 0)
		rc = check_trial(&s, path, e);
	if (rc == 0)
		rc = load(&s, path, c->sw.dry_run, e);
	if (rc < 0)
		return rc;
	rc = report(c, &s, path, e);
	if (rc < 0 || c->load || c->sw.dry_run)
		return rc;
	struct proc_spec spec = PROC_SPEC_INIT;
	spec.argv = reboot;
	return proc_run(&spec, e);
}

static const struct cmd_opt opts[] = {
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct ctx, sw.dry_run), NULL,
	  "say what would start, load nothing" },
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL, "what is done as JSON" },
	{ "load", 0, CMD_FLAG, offsetof(struct ctx, load), NULL,
	  "load the kernel only; 'cairn reboot --kexec' starts it" },
};

const struct cmd sys_cmd_kexec = {
	.name = "kexec",
	.summary = "stop all services and start the kernel of the current generation directly",
	.examples = "cairn system kexec",
	.help = "As 'cairn reboot', without the firmware and the boot loader. A generation on "
		"trial is\n"
		"refused: its boots are counted by the boot loader.",
	CMD_OPTS(opts),
	.context_size = sizeof(struct ctx),
	.statuses = &sys_statuses,
	.run = run,
};
