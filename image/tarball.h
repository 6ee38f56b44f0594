/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The root of a machine as a tar file. */
#pragma once

#include <stdint.h>

#include "image/contents.h"
#include "lib/err.h"

struct tar;

/* Write c as a tar file with gzip; file must not exist and is removed on failure. */
int tarball_make(const char *file, struct contents *c, uint64_t *ret_size, struct err *e);

#define TARBALL_GZIP   (1u << 0)
#define TARBALL_NO_TOP (1u << 1) /* without an entry for the root directory itself */
/* Write c, whose manifest is made, to fd as a tar stream. */
int tarball_write(int fd, unsigned flags, struct contents *c, struct err *e);

/* Begin the entry of n in t. */
int tarball_entry(struct tar *t, const struct man_entry *n, struct err *e);
