/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writer: a manifest as files below a directory, such as a mounted disk. Everything is reached from
 * the directory's own descriptor, name by name, and no link is followed. A store item has a
 * temporary name until it is complete; so has every other file.
 */
#pragma once

#include <stdint.h>

#include "image/fill.h"
#include "lib/err.h"
#include "lib/tab.h"

/* Names that begin so are unfinished, and nobody else's. */
#define DIRTREE_TEMP ".cairn-"

struct dirtree;

/* Write below dir (borrowed). want: store path -> struct digest *, what an item must be. */
int dirtree_open(int dir, const struct tab *want, struct dirtree **ret, struct err *e);
/* For fill_run(). A file that is late waits for a syncfs() of everything before it gets its name.
 * Existing directories are taken as they are but for their mode; a regular file in the way that
 * differs is kept as NAME.saved. -ERR_HASH when the source of an item is not what it must be. */
struct img_sink *dirtree_sink(struct dirtree *t);
/* After fill_run(): the last item, and everything synced. Frees t, also on failure. */
int dirtree_finish(struct dirtree *t, struct err *e);
void dirtree_free(struct dirtree *t); /* gives up; NULL allowed */
