/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system find-device, for the services that mount file systems. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "lib/loop.h"
#include "lib/probe.h"
#include "system/system.h"

#define WAIT_NS 30000000000ull
#define LOOK_NS 200000000

struct find {
	bool now;
};

/* A device may appear a while after the boot began. */
static int find(const char *spec, bool now, char device[PATH_MAX])
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint64_t until = loop_now() + (now ? 0 : WAIT_NS);
	char type[PROBE_TYPE_MAX];
	int r;

	while ((r = probe_find(spec, device, type)) == -ENODEV && loop_now() < until)
		(void)nanosleep(&pause, NULL); /* no event tells that a device can be read */
	return r;
}

static int run_find(struct cmd_env *env, struct err *e)
{
	const struct find *o = env->ctx;
	char device[PATH_MAX];
	int r = find(env->args[0], o->now, device);

	if (r < 0)
		return err_num(e, r, "%s", env->args[0]);
	puts(device);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static const struct cmd_opt find_opts[] = {
	{ "now", 0, CMD_FLAG, offsetof(struct find, now), NULL,
	  "do not wait for a device that is not there yet" },
};

const struct cmd sys_cmd_find_device = {
	.name = "find-device",
	.synopsis = "KEY=VALUE",
	.summary = "print the device that has a label or UUID",
	CMD_OPTS(find_opts),
	.context_size = sizeof(struct find),
	.min_args = 1,
	.max_args = 1,
	.run = run_find,
	.hidden = true,
};
