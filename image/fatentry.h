/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Entries of a FAT, changed in ways that mtools has no command for. Two files exchanged in place:
 * mtools can only delete a name and then give it again, and a machine that loses power in between
 * finds no boot loader. A file that becomes a directory: mtools makes those with one cluster.
 * Entries are those of Microsoft's FAT specification 1.03, §§ 3 and 6.
 */
#pragma once

#include <stdint.h>

#include "lib/err.h"

#define FAT_RUNS_MAX 64

/* Clusters of a file or directory, in order. */
struct fat_run {
	uint32_t first, last;
};

struct fat_chain {
	struct fat_run run[FAT_RUNS_MAX];
	uint32_t n;
};

/* Bytes of a cluster of the file system at offset (bytes) of fd. */
int fat_cluster_size(int fd, uint64_t offset, uint32_t *ret, struct err *e);

/* Make an empty directory of the file of zeros that begins at cluster, an entry of the directory
 * parent, which is not the root: so a directory has more than one cluster from the beginning. */
int fat_make_directory(int fd, uint64_t offset, const struct fat_chain *parent, uint32_t cluster,
		       struct err *e);

/* Exchange first cluster, size and time of writing of the files that begin at clusters a and b,
 * both entries of the directory dir, in the file system at offset (bytes) of fd. One write of one
 * sector, when the entries share one; otherwise b's entry is gone for the moment in which a's
 * changes. On the disk when it returns. -ERR_INVALID: no FAT, no such entries. */
int fat_exchange(int fd, uint64_t offset, const struct fat_chain *dir, uint32_t a, uint32_t b,
		 struct err *e);
