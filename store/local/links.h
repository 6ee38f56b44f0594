/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Deduplication: equal files of 8 KiB and more are hard links to one inode, named in .links. */
#pragma once

#include <sys/stat.h>

#include "store/local/local.h"

#define LINKS_SIZE_MIN 8192

/* Link the files of store_fd/base with what .links has, or enter them there. known (may be NULL):
 * the NAR hash when the item is one regular file, so that it is not read again. */
int links_tree(struct local *l, const char *base, const struct digest *known, uint64_t *ret_saved,
	       struct err *e);
/* Files that lost a name while they may have one in .links. */
struct links_lost {
	uint64_t *inodes; /* owned */
	size_t n, cap;
	bool all; /* not all are known: look at every entry */
};
/* Note what file_delete_tree_linked tells; arg is a struct links_lost. */
void links_note(void *arg, const struct stat *st);
/* Remove the entries of lost files that nothing uses any more; *ret_bytes counts
 * what that freed. Nothing is read when nothing was lost. */
int links_prune(struct local *l, struct links_lost *lost, uint64_t *ret_bytes, struct err *e);
void links_lost_done(struct links_lost *lost);
