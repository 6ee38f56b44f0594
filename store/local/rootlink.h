/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading links of others: where they lie can be a file system that answers when it likes, or
 * never. A process that holds nothing of ours reads them, and is given up when it takes too long.
 */
#pragma once

#include "lib/proc.h"
#include "lib/str.h"

#define ROOTLINK_SECONDS 10 /* for one link */

struct rootlink {
	int sock; /* owned; -1: not started */
	struct proc reader;
	uid_t uid; /* who reads when we are root; (uid_t)-1: we ourselves */
	gid_t gid;
};

#define ROOTLINK_INIT                                                                              \
	{                                                                                          \
		-1, PROC_INIT, (uid_t)-1, (gid_t)-1                                                \
	}

/* Append the target of the link path. 0 or -errno; -ETIMEDOUT: there is no answer. */
int rootlink_read(struct rootlink *r, const char *path, struct str *out);
void rootlink_done(struct rootlink *r);
