/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one command for people. Modules export their commands in their public headers; the tables
 * here put them into one tree. Keep every table sorted by name (a test checks it).
 */
#include "init/init.h"
#include "lib/cmd.h"
#include "lib/log.h"
#include "store/store.h"

static const struct cmd *const commands[] = {
	&init_cmd_halt,
	&init_cmd_poweroff,
	&init_cmd_reboot,
	&init_cmd_service,
	NULL,
};

static const struct cmd root = {
	.name = "cairn",
	.summary = "Build, install, run and roll back a Cairn system",
	.subs = commands,
};

int main(int argc, char **argv)
{
	log_init("cairn");
	return cmd_main(&root, argc, argv, CAIRN_VERSION);
}
