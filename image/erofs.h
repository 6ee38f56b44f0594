/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "image/contents.h"
#include "lib/err.h"
#include "lib/gpt.h"

#define EROFS_LABEL_MAX 15

struct erofs_opts {
	const char *file;	/* is created; must not exist */
	const char *mkfs_erofs; /* program of erofs-utils */
	struct guid uuid;
	const char *label; /* "" for none */
};

/* Write c, whose manifest is made, as an erofs file system with lz4: one pass, through a pipe. On
 * failure the file is removed. */
int erofs_make(const struct erofs_opts *o, struct contents *c, struct err *e);
