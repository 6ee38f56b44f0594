/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Signs that what a collection would take for "no roots" is a file system that is not mounted, and
 * for "no rows" a database that belongs to another store. Marks with one number are in
 * STORE/.links, in gcroots and in profiles; STATE/db/marks has the number, and says where marks
 * are.
 */
#pragma once

#include "store/local/local.h"

#define GUARD_NAME ".mark"

/* To be called before anything is deleted: refuses with -ERR_INVALID. Marks what has no mark yet.
 */
int guard_check(struct local *l, struct err *e);
/* -ERR_INVALID when path lies where /etc/fstab wants a file system that is not mounted. */
int guard_mounted(const char *path, struct err *e);
