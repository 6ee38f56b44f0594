/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The root of a machine as a tar file. */
#pragma once

#include <stdint.h>

#include "image/contents.h"
#include "lib/err.h"

struct tar;

/* Write c as a tar file with gzip; file must not exist and is removed on failure. */
int tarball_make(const char *file, struct contents *c, uint64_t *ret_size, struct err *e);

/* Begin the entry of n in t. */
int tarball_entry(struct tar *t, const struct man_entry *n, struct err *e);
