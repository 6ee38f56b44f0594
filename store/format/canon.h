/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Canonical metadata: what a file in the store may differ in is its type, contents, and owner-x
 * bit. Modes become 0444 or 0555 (directories always 0555), times 1 second, the owner the one
 * given, extended attributes and ACLs vanish. Nothing is followed, nothing is opened for writing.
 */
#pragma once

#include <sys/types.h>

#include "store/store.h"

struct canon_inodes; /* inodes seen, to allow hard links inside one build */

struct canon {
	uid_t uid, gid; /* owner to give; (uid_t)-1: leave */
	uid_t from;	/* the builder: every file must be its own, or one more link to a file
			   already done; (uid_t)-1: any owner will do */
	struct canon_inodes *seen; /* owned */
};

#define CANON_INIT                                                                                 \
	{                                                                                          \
		(uid_t) - 1, (uid_t)-1, (uid_t)-1, NULL                                            \
	}

/* Canonicalise dirfd/name and everything below. One struct canon serves all outputs of a build.
 * A type other than regular, directory, symlink, or a foreign owner: -ERR_INVALID. */
int canon_tree(struct canon *c, int dirfd, const char *name, struct err *e);
void canon_done(struct canon *c);
