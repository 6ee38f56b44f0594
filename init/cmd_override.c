/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn service enable, disable, mask, unmask: what holds at each boot whatever the set says. The
 * file is written here: PID 1 writes to no disk. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>

#include "init/commands.h"
#include "init/init.h"
#include "init/limits.h"
#include "init/view.h"
#include "lib/fd.h"
#include "lib/path.h"

struct override_ctx {
	bool now;
};

static const struct cmd_opt override_opts[] = {
	{ "now", 0, CMD_FLAG, offsetof(struct override_ctx, now), NULL,
	  "also start or stop it; else it is as it was until the next boot" },
};

static int exists(void *arg, const struct init_service *s)
{
	(void)s;
	*(bool *)arg = true;
	return 0;
}

/* All lines but those about name, and one more. verb NULL: none. */
static void edit(struct slice old, const char *name, const char *verb, struct str *out)
{
	struct slice line, rest;

	while (slice_cut(&old, '\n', &line)) {
		struct slice word;
		rest = slice_trim(line);
		slice_cut(&rest, ' ', &word);
		if (line.n == 0 || (rest.p && slice_is(slice_trim(rest), name)))
			continue;
		str_adds(out, line);
		str_addc(out, '\n');
	}
	if (verb)
		str_addf(out, "%s %s\n", verb, name);
}

static int rewrite(const char *path, const char *name, const char *verb, struct err *e)
{
	auto_str struct str old = STR_INIT, text = STR_INIT;
	char dir[PATH_MAX];
	int r = path_dir(dir, path);

	if (r == 0)
		r = file_mkdir_p(AT_FDCWD, dir, 0755, e);
	if (r < 0)
		return r;
	/* Two at a time: one after the other. */
	auto_fd int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return err_sys(e, "%s", dir);
	r = file_read(AT_FDCWD, path, &old, LIMIT_OVERRIDES, e);
	if (r < 0 && r != -ENOENT)
		return r;
	edit(str_slice(&old), name, verb, &text);
	if (str_err(&text))
		return err_num(e, str_err(&text), "%s", path);
	if (text.len > LIMIT_OVERRIDES)
		return err_set(e, -ERR_LIMIT, "%s would have more than %d bytes", path,
			       LIMIT_OVERRIDES);
	return file_write_atomic(AT_FDCWD, path, text.buf ? text.buf : "", text.len, 0644, e);
}

static int override_one(const char *name, const char *verb, bool now, struct err *e)
{
	char path[LIMIT_PATH];
	bool known = false;
	struct err ignored = ERR_INIT;
	int r = init_client_override(path, e);

	if (r < 0)
		return r;
	/* An instance of a template need not be there; one that was said away may have gone. */
	if (verb && !strchr(name, '@')) {
		r = init_client_status(name, exists, &known, e);
		if (r < 0)
			return r;
	}
	r = rewrite(path, name, verb, e);
	if (r == 0)
		r = init_client_override(path, e);
	if (r < 0 || !now)
		return r;
	if (verb && strcmp(verb, "enable") == 0)
		return init_client_action(INIT_START, name, true, e);
	r = init_client_action(INIT_STOP, name, true, &ignored);
	return r == -ERR_NOTFOUND ? 0 : r < 0 ? err_set(e, r, "%s", ignored.msg) : 0;
}

static int override_all(struct cmd_env *env, const char *verb, bool now, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < env->nargs; i++)
		r = override_one(env->args[i], verb, now, e);
	return r;
}

static int run_enable(struct cmd_env *env, struct err *e)
{
	return override_all(env, "enable", ((struct override_ctx *)env->ctx)->now, e);
}

static int run_disable(struct cmd_env *env, struct err *e)
{
	return override_all(env, "disable", ((struct override_ctx *)env->ctx)->now, e);
}

static int run_mask(struct cmd_env *env, struct err *e)
{
	return override_all(env, "mask", false, e);
}

static int run_unmask(struct cmd_env *env, struct err *e)
{
	return override_all(env, NULL, false, e);
}

const struct cmd service_cmd_enable = {
	.name = "enable",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "start services at each boot, whatever the set says",
	.examples = "cairn service enable --now ntp",
	CMD_OPTS(override_opts),
	.context_size = sizeof(struct override_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_enable,
};

const struct cmd service_cmd_disable = {
	.name = "disable",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "start services only by hand or for others, whatever the set says",
	.examples = "cairn service disable --now ntp",
	CMD_OPTS(override_opts),
	.context_size = sizeof(struct override_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_disable,
};

const struct cmd service_cmd_mask = {
	.name = "mask",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "stop services, and let nothing start them",
	.examples = "cairn service mask ntp",
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_mask,
};

const struct cmd service_cmd_unmask = {
	.name = "unmask",
	.synopsis = "SERVICE...",
	.operands = view_names,
	.summary = "let the set say again what becomes of services",
	.examples = "cairn service unmask ntp",
	.help = "Takes back enable, disable and mask.",
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_unmask,
};
