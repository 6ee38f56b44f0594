/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Deduplication: equal files of 8 KiB and more are hard links to one inode, named in .links. */
#pragma once

#include "store/local.h"

#define LINKS_SIZE_MIN 8192

/* Link the files of store_fd/base with what .links has, or enter them there. known (may be NULL):
 * the NAR hash when the item is one regular file, so that it is not read again. */
int links_tree(struct local *l, const char *base, const struct digest *known, uint64_t *ret_saved,
	       struct err *e);
/* Remove entries that nothing uses any more; *ret_bytes counts what that freed. */
int links_prune(struct local *l, uint64_t *ret_bytes, struct err *e);
