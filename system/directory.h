/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Directories that the configuration asks for. Those who own a directory on the way are not
 * trusted: they may put links where they like, and root follows none of them.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

struct sys_directory {
	const char *path; /* clean; borrowed from the caller */
	uid_t uid;
	gid_t gid;
	mode_t mode;
	bool clean; /* what is in there goes, but for file systems that are mounted there */
};

/* Makes the directory with those above it (0755, root's), and gives it mode and owner. It must not
 * be a link; one on the way is followed only when nobody but root, or who runs this, can have put
 * it. Else -ELOOP. */
int sys_directory_put(const struct sys_directory *d, struct err *e);
