/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is a system whole enough to be switched to? */
#pragma once

#include "lib/err.h"
#include "system/root.h"

#define WHOLE_SKIP_CHECKS(type, field)                                                             \
	{                                                                                          \
		"skip-checks", 0, CMD_FLAG, offsetof(type, field), NULL,                           \
			"warn only, when an item is lost that no boot needs"                       \
	}

struct whole {
	const char *path;
	unsigned number;       /* of the generation; 0: it is none yet */
	const char *state_dir; /* NULL: the usual one */
	bool skip;	       /* warn of what is lost, but for what a boot begins with */
};

/* Whether w->path is a generation (gen_check()) of which nothing is missing: each item that it
 * refers to is valid and there, and what a boot begins with is not empty, or is a program. Needs no
 * daemon and no network. Where the store's database cannot be read, the parts of the generation
 * alone are looked at, after a warning: the way back stays open. -ERR_HASH: something is missing, e
 * names it and what can be done; other codes: it cannot be known. */
int whole_check(const struct sys_root *r, const struct whole *w, struct err *e);
