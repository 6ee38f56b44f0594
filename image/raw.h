/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A raw disk: GPT, a BIOS boot partition of 1 MiB with GRUB's core, and an ext4 root that fills the
 * rest. Made by an ordinary process: no root, no loop device, no VM.
 */
#pragma once

#include <stdint.h>

#include "image/contents.h"
#include "lib/err.h"
#include "lib/gpt.h"

#define RAW_BOOT_FIRST 2048 /* sector of the BIOS boot partition, 1 MiB */
#define RAW_ROOT_FIRST 4096 /* sector of the root partition */

struct raw_opts {
	const char *file;		  /* is created; must not exist */
	const char *label;		  /* of the root file system */
	const char *part_label;		  /* of the root partition */
	const struct guid *uuid;	  /* of the root file system; NULL: derived */
	const struct guid *part_uuid;	  /* of the root partition; NULL: derived */
	const char *mke2fs;		  /* program */
	const char *code_dir;		  /* boot.img and core.img; NULL: no boot code */
	uint64_t free_bytes, free_inodes; /* left in the root file system */
};

struct raw_result {
	uint64_t size, free_bytes;
};

/* Write the disk; on failure the file is removed. */
int raw_make(const struct raw_opts *o, struct contents *c, struct raw_result *ret, struct err *e);

/* The identifier that stands for (system, what) for ever. */
struct guid img_guid(const char *system, const char *what);
