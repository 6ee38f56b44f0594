/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Users and groups from /etc/passwd and /etc/group, read line by line into a fixed buffer: no
 * name-service library in PID 1, no memory. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "init/limits.h"

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[LIMIT_SVC_GROUPS];
	size_t ngroups;
	char name[64], home[256];
};

/* Name or number. -ENOENT when there is no such user. A number without an entry is itself, with
 * the same number as group. Fills groups from /etc/group. */
int user_find(const char *who, struct user *ret);
int user_group_find(const char *who, gid_t *ret);
