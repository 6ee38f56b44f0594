/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the commands that switch a machine have in common: their options, the plan that is shown,
 * the switch, and what is said of it. */
#pragma once

#include "system/switcher.h"
#include "system/test-boot.h"
#include "system/wanted.h"

/* Context of such a command. */
struct change {
	struct switcher_opts sw;
	struct sys_eval_opts eval;
	const char *confirm;
	uint64_t seconds; /* of confirm; 0: it was not given */
	bool test;	  /* activate it, but do not switch */
	bool fail_unchanged;
	bool skip_checks;
	const char *test_in, *test_timeout; /* --test, --test-timeout */
	struct test_boot boot_test;	    /* of these */
	/* reconfigure of another machine; NULL: of this one */
	const char *target_host, *target_program, *target_there;
	bool no_confirm;
};

/* What it is switched to. */
struct goal {
	unsigned number; /* of the generation that it is, or will be */
	const char *path;
	bool fresh; /* it has no link yet */
};

#define CHANGE_DRY_RUN                                                                             \
	{                                                                                          \
		"dry-run", 'n', CMD_FLAG, offsetof(struct change, sw.dry_run), NULL,               \
			"print the plan, change nothing"                                           \
	}
#define CHANGE_JSON                                                                                \
	{                                                                                          \
		"json", 0, CMD_FLAG, offsetof(struct change, sw.json), NULL,                       \
			"the plan and what came of it as JSON"                                     \
	}
#define CHANGE_CONFIRM                                                                             \
	{                                                                                          \
		"confirm", 0, CMD_STR, offsetof(struct change, confirm), "SECONDS",                \
			"go back, unless 'cairn system confirm' is said in this time"              \
	}
#define CHANGE_BOOT_ONLY                                                                           \
	{                                                                                          \
		"boot", 0, CMD_FLAG, offsetof(struct change, sw.boot_only), NULL,                  \
			"take effect at the next boot only"                                        \
	}
#define CHANGE_UNCHANGED                                                                           \
	{                                                                                          \
		"fail-if-unchanged", 0, CMD_FLAG, offsetof(struct change, fail_unchanged), NULL,   \
			"end with 6 when nothing would change"                                     \
	}
#define CHANGE_TEST                                                                                \
	{                                                                                          \
		"test",                                                                            \
		0,                                                                                 \
		CMD_STR,                                                                           \
		offsetof(struct change, test_in),                                                  \
		"container|vm",                                                                    \
		"start the system there first; switch only if all its services come up"            \
	},                                                                                         \
	{                                                                                          \
		"test-timeout", 0, CMD_STR, offsetof(struct change, test_timeout), "SECONDS",      \
			"how long that may take (120; in a virtual machine 600)"                   \
	}
#define CHANGE_CONFIRM_HELP                                                                        \
	"With --confirm it is only tried out: services and /etc are switched, and PID 1\n"         \
	"switches them back after SECONDS (60, or 5min) unless 'cairn system confirm' is\n"        \
	"said before. The next boot starts the old generation until then."

/* Is g what there is, so that p changes nothing? */
bool change_is_nothing(const struct change *c, struct switcher *s, const struct goal *g,
		       const struct plan *p);
/* Of --confirm: c->seconds. */
int change_seconds(struct change *c, struct err *e);
/* Check the options, find the machine, take the lock under the verb's name, see that nothing is
 * tried out. */
int change_open(struct change *c, struct switcher *s, const char *verb, struct err *e);
/* Make the plan and, but for --json, show it. to: where the goal can be read. z NULL: without
 * sizes. */
int change_plan(const struct change *c, struct switcher *s, const struct goal *g,
		const struct plan_side *to, const struct plan_sizer *z, struct plan *ret,
		struct err *e);
/* What the plan is for, unless this is a dry run; then what came of it as JSON. */
int change_go(struct change *c, struct switcher *s, const struct goal *g, const struct plan *p,
	      struct err *e);
/* The error when it is done, and only what came of it could not be printed. */
int change_not_told(const struct goal *g, struct err *e);
