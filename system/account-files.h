/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The files of accounts: /etc/passwd, group, shadow, subuid and subgid, and the lines of shadow of
 * people who are gone: /var/lib/cairn/shadow. */
#pragma once

#include "lib/str.h"
#include "system/ids.h"

/* Add the line of x in passwd, or in group; ids has a number for all. */
void account_line(struct str *out, struct ids *ids, const struct vec *accounts,
		  const struct account *x);
/* That the files of first passwords that will be needed are there and private. */
int account_files_check(const struct sys_root *r, struct arena *a, const struct vec *accounts,
			struct err *e);
/* ids has a number for all. */
int account_files_write(const struct sys_root *r, struct ids *ids, const struct vec *accounts,
			struct err *e);
