/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A raw disk: GPT and the partitions of a layout, one after the other, each beginning at a whole
 * MiB. Made by an ordinary process: no root, no loop device, no VM.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image/contents.h"
#include "image/layout.h"
#include "lib/err.h"
#include "lib/gpt.h"

/* Where a partition is that exists already. */
struct disk_place {
	uint64_t offset, size; /* bytes */
};

struct disk_opts {
	const char *file; /* is created; must not exist, unless: */
	bool device; /* file is a disk or its like, of just that size, with anything on it; it is
		      * synced, and does not start until it is complete */
	const char *seed;	     /* identifiers are derived from; NULL: the system's path */
	const struct layout *layout; /* borrowed */
	/* of each partition of the layout: a device whose table, and all that is not in layout,
	 * stays as it is. An ESP is added to, not made. NULL: the disk is laid out. */
	const struct disk_place *places;
	uint64_t size;	    /* of the whole disk; 0: as large as it must be. What is left goes
			     * to a root without size. */
	const char *mke2fs; /* programs */
	const char *mkfs_fat, *mtools;
	const char *mksquashfs, *mkfs_erofs;
	unsigned processors;  /* to compress with; the bytes do not depend on it */
	const char *bios_dir; /* boot.img and core.img; NULL: none */
	const char *esp_dir;  /* what goes into the ESP; NULL: nothing */
};

struct disk_result {
	uint64_t size, free_bytes; /* of the disk; in the root file system */
};

/* Write the disk; on failure the file is removed (a device is not). -ERR_LIMIT says how much is
 * missing when the contents do not fit into the sizes given. */
int disk_make(const struct disk_opts *o, struct contents *c, struct disk_result *ret,
	      struct err *e);

/* The identifier that stands for (system, what) for ever. */
struct guid img_guid(const char *system, const char *what);
