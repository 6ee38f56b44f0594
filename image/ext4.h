/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ext4 inside a file, at an offset, without mounting: mke2fs makes the empty file system, libext2fs
 * fills it. Everything that could vary (identifiers, times, owners, order, features) is given or
 * fixed, so the same manifest makes the same bytes. GRUB 2.06 can read the result.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/fill.h"
#include "image/manifest.h"
#include "lib/err.h"
#include "lib/gpt.h"

#define EXT4_BLOCK     4096
#define EXT4_LABEL_MAX 16
/* MiB of the journal; the smaller one for partitions of up to 64 MiB. */
#define EXT4_JOURNAL_MB	  16
#define EXT4_JOURNAL_LESS 4

struct ext4_opts {
	const char *file; /* exists; at least offset bytes */
	uint64_t offset;  /* bytes, multiple of EXT4_BLOCK; what lies before is not touched */
	uint64_t size;	  /* bytes; 0: the smallest that does */
	struct guid uuid;
	const char *label;
	const char *mke2fs;  /* the program */
	const char *work;    /* directory for its configuration file */
	uint64_t free_bytes; /* that are left once the manifest is in */
	uint64_t free_inodes;
	bool device; /* file is a disk or its like: of fixed size, and not zeros */
};

/* What a manifest needs, apart from the file system's own tables. */
struct ext4_need {
	uint64_t blocks, inodes;
};
struct ext4_need ext4_need(const struct manifest *m);

/* Make an empty file system of the size given, or the smallest (in steps of 1 MiB), that holds m
 * and then has free_bytes and free_inodes left; the file ends with it. *ret_bytes: size of the file
 * system. -ERR_LIMIT with numbers when the size given is too small. */
int ext4_make(const struct ext4_opts *o, const struct manifest *m, uint64_t *ret_bytes,
	      struct err *e);

struct ext4;

/* Open for filling; the sink goes to fill_run(). m must outlive it. */
int ext4_open(const struct ext4_opts *o, struct ext4 **ret, struct err *e);
struct img_sink *ext4_sink(struct ext4 *x);
/* Write out tables and close; *ret_free: bytes that are left. Frees x, also on failure. */
int ext4_finish(struct ext4 *x, uint64_t *ret_free, struct err *e);
void ext4_free(struct ext4 *x); /* give up; NULL allowed */

/* The file system's own checksum (CRC-32C); the one at hand that is fast. */
uint32_t ext4_checksum(const void *p, size_t n);
