/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system activate. */
#include <errno.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "system/activate.h"
#include "system/switcher.h"
#include "system/system.h"

struct ctx {
	struct switcher_opts sw;
	bool boot, directories;
};

/* At boot a switch cut off by the end of power is ended first, so that links and menu agree with
 * what runs. Where that cannot be done, the machine comes up all the same: what it needs may be on
 * a file system that is mounted later, so it is tried again when all are. */
static int open_ending(struct switcher *s, const struct ctx *c, struct err *e)
{
	struct err tmp = ERR_INIT;

	if (switcher_open(s, &c->sw, "activate", true, &tmp) < 0) {
		if (!c->directories || !s->busy) /* else a switch has begun that waits for this */
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
	int rc = open_ending(&s, c, e);

	if (rc < 0)
		return rc;
	if (!s.booted)
		return err_set(e, -ERR_NOTFOUND, "%s is missing", GEN_BOOTED_LINK);
	rc = sys_activate_boot(&s.root, s.booted, &other, e);
	if (other.msg[0])
		log_warn("%s", other.msg);
	return rc;
}

/* Of the system that runs: that is not the one of the boot when this is done later. */
static int activate_directories(const struct ctx *c, struct err *e)
{
	auto_switcher struct switcher s = SWITCHER_INIT;
	const char *system = NULL;
	int rc = open_ending(&s, c, e);

	fd_close(&s.lock); /* emptying directories may take long, and keeps nobody from a switch */
	if (rc == 0)
		rc = gen_running(&s.root, GEN_CURRENT_LINK, &s.arena, &system, e);
	if (rc < 0)
		return rc;
	return system ? sys_activate_directories(&s.root, system, e)
		      : err_set(e, -ERR_NOTFOUND, "%s is missing", GEN_CURRENT_LINK);
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
	if (c->directories)
		return activate_directories(c, e);
	rc = switcher_open(&s, &c->sw, "activate", false, e);
	return rc < 0 ? rc : sys_activate(&s.root, env->args[0], e);
}

static const struct cmd_opt activate_opts[] = {
	{ "root", 0, CMD_STR, offsetof(struct ctx, sw.store.root), "DIR",
	  "private root: store at DIR/gnu/store" },
	SWITCHER_OPTIONS(struct ctx, sw),
	{ "boot", 0, CMD_FLAG, offsetof(struct ctx, boot), NULL, "activate what was booted" },
	{ "directories", 0, CMD_FLAG, offsetof(struct ctx, directories), NULL,
	  "what may lie on other file systems only, with directories emptied where they are to "
	  "be" },
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
