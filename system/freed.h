/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How much of the disk is free when items of the store are deleted, counted as a collection counts
 * it: blocks, not bytes; and a file that others are links to only with the last of them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/vec.h"

/* paths: physical ones, of one store. One that is gone has nothing. optimised: files with several
 * names have one more in the store's directory of links, which goes with the last of the others. */
int freed_by(const struct vec *paths, bool optimised, uint64_t *ret_bytes, struct err *e);
