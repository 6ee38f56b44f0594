/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The identity builders have outside of their sandbox. */
#pragma once

#include <sys/types.h>

#include "lib/err.h"

/* When the caller is root: an id for one build that is alive on this machine, whatever the store;
 * *ret_lock keeps it taken. With a group it is one of its members', the group id the group's;
 * -EAGAIN when all of them build. For other callers their own id, and -1. */
int buildid_take(const char *group, uid_t *ret_uid, gid_t *ret_gid, int *ret_lock, struct err *e);
