/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "image/contents.h"
#include "lib/err.h"

struct squashfs_opts {
	const char *file;	/* is created; must not exist */
	const char *mksquashfs; /* program of squashfs-tools */
	unsigned processors;	/* to compress with; the bytes do not depend on it */
};

/* Write c, whose manifest is made, as a squashfs file system with zstd: one pass, through a pipe.
 * On failure the file is removed. */
int squashfs_make(const struct squashfs_opts *o, struct contents *c, struct err *e);
