/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is a system whole enough to be switched to? */
#pragma once

#include "lib/err.h"
#include "system/root.h"

/* Whether path, generation number (0: it is none yet), is a generation (gen_check()) of which
 * nothing is missing: each item that it refers to is valid and there, and what a boot begins with
 * is not empty, or is a program. Needs no daemon and no network. Where the store's database cannot
 * be read, the parts of the generation alone are looked at, after a warning: the way back stays
 * open. -ERR_HASH: something is missing, e names it and what can be done. state_dir NULL: the usual
 * one. */
int whole_check(const struct sys_root *r, const char *state_dir, unsigned number, const char *path,
		struct err *e);
