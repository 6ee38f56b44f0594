/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The devices that a generation cannot do without (its file "devices"), and whether this machine
 * has them. */
#pragma once

#include "lib/err.h"
#include "system/root.h"

/* -ERR_NOTFOUND, with all that are missing, when system names devices that from (NULL: none) did
 * not and that cannot be found: what from has was good enough to come up with. */
int devices_check(const struct sys_root *r, const char *from, const struct sys_root *to,
		  const char *system, struct err *e);
