/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What partitions a disk image has, in their order: text that Lua writes and the builder reads. The
 * format is described in doc/image.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/gpt.h"
#include "lib/slice.h"

enum part_content {
	PART_BIOS, /* GRUB's core */
	PART_ESP,  /* FAT, with what firmware starts */
	PART_ROOT, /* the system */
	PART_BOOT, /* ext4: menu and kernels, beside a root that GRUB does not read */
	PART_EXT4, /* an empty file system */
	PART_SWAP,
	PART_EMPTY, /* unformatted */
	PART_CONTENT_MAX,
};

enum part_fs {
	PART_FS_EXT4,
	PART_FS_SQUASHFS, /* these two are only read */
	PART_FS_EROFS,
	PART_FS_MAX,
};

struct part_spec {
	const char *name; /* of the section; what identifiers are derived from */
	enum part_content content;
	enum part_fs file_system; /* of a root */
	const char *label;	  /* of the file system or swap space; "" for none */
	const char *part_label;	  /* name */
	const char *uuid;	  /* of the file system; "": derived */
	const char *part_uuid;	  /* "": derived */
	const char *part_type;	  /* "": that of the contents */
	uint64_t size;		  /* bytes, whole MiB; 0: as large as its contents need */
	uint64_t free;		  /* bytes left free in a root without size */
	uint64_t attributes;	  /* of the partition table */
};

#define LIMIT_LAYOUT_PARTS 32
#define LAYOUT_ESP_SIZE	   (64u << 20) /* of an ESP without size */
#define LAYOUT_BOOT_SIZE   (64u << 20) /* of a boot partition without size */

struct layout {
	struct part_spec parts[LIMIT_LAYOUT_PARTS];
	size_t n;
};

/* Read a layout; strings go to arena. -ERR_SYNTAX and -ERR_INVALID name file and line, or the
 * partition: sizes that are no whole MiB, a partition that needs a size, not exactly one root, two
 * BIOS boot partitions, ESPs or boot partitions, names twice, what a root that is only read cannot
 * have. */
int layout_parse(struct arena *a, struct slice text, const char *file, struct layout *ret,
		 struct err *e);

/* Type of a partition as its table has it. */
struct guid layout_type(const struct part_spec *p);
