/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the commands that change a machine have in common: where it is, the lock, an interrupted
 * switch brought to its end, and after the switch activation and the live change of services.
 */
#pragma once

#include <stdbool.h>

#include "lib/cmd.h"
#include "lib/fd.h"
#include "store/store.h"
#include "system/generation.h"
#include "system/plan.h"
#include "system/switch.h"

struct switcher_opts {
	struct store_opts store;
	const char *target; /* --target-root */
	bool json, dry_run, boot_only;
};

#define SWITCHER_OPTIONS(type, f)                                                                  \
	{                                                                                          \
		"target-root", 0, CMD_STR, offsetof(type, f.target), "DIR",                        \
			"the machine whose files are below DIR"                                    \
	}

struct switcher {
	struct arena arena;
	struct sys_root root;
	int lock; /* -1: none */
	struct gen_list list;
	const char *booted; /* NULL: not known */
	enum sys_switch_end recovered;
};

#define SWITCHER_INIT                                                                              \
	{                                                                                          \
		.lock = -1                                                                         \
	}

/* Find the machine and read its generations. change: also take the lock, and end an interrupted
 * switch. verb is for the lock's text. */
int switcher_open(struct switcher *s, const struct switcher_opts *o, const char *verb, bool change,
		  struct err *e);
void switcher_done(struct switcher *s);
static inline void switcher_cleanup(struct switcher *s)
{
	switcher_done(s);
}
#define auto_switcher __attribute__((cleanup(switcher_cleanup)))

/* Store path of the current generation, NULL: none. */
const char *switcher_current(const struct switcher *s);
/* After the switch: activation, then, when wanted, the services (ret: what happened; may be empty).
 */
int switcher_activate(struct switcher *s, const char *system, bool services, struct vec *ret,
		      struct err *e);
