/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Blocks that were written to a disk, and whether the disk still has them: disks that pretend to be
 * larger than they are, or drop what they are given, answer every write with success.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define READBACK_BLOCK 4096

struct readback_block {
	uint64_t number; /* of the file, in blocks */
	uint32_t sum;
};

struct readback {
	struct readback_block *v; /* owned */
	size_t n, cap;
	int err; /* 0 or -ENOMEM; sticky */
};

#define READBACK_INIT                                                                              \
	{                                                                                          \
		NULL, 0, 0, 0                                                                      \
	}

/* Block number of the file now has these bytes; it is written once. */
void readback_add(struct readback *x, uint64_t number, const void *block);
/* The same for what other programs have just written there: bytes of the open file, at a whole
 * block. */
int readback_add_range(struct readback *x, int fd, uint64_t offset, uint64_t size);
/* Sync file, drop what memory has of it, and read all of them; -EIO names the first that differs.
 */
int readback_check(const struct readback *x, const char *file, struct err *e);
void readback_done(struct readback *x);
