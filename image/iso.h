/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An ISO 9660 image that starts as CD and as disk, on BIOS and UEFI machines: a read-only root in a
 * squashfs file, GRUB, kernel and initramfs. Written by xorriso, without root or a VM.
 */
#pragma once

#include <stdint.h>

#include "image/contents.h"
#include "lib/err.h"

#define ISO_LABEL_MAX  32
#define ISO_UUID_TEXT  23
#define ISO_ROOT_IMAGE "/root.squashfs"

struct iso_opts {
	const char *file;				      /* is created; must not exist */
	const char *label;				      /* of the volume: A-Z, 0-9, _ */
	const char *xorriso, *mksquashfs, *mkfs_fat, *mtools; /* programs */
	const char *bios_dir; /* GRUB: bios.img and boot_hybrid.img */
	const char *efi_dir;  /* GRUB: EFI/BOOT/BOOTX64.EFI */
	unsigned processors;
};

/* Write c, whose boot menu has the one generation; on failure the file is removed. */
int iso_make(const struct iso_opts *o, struct contents *c, uint64_t *ret_size, struct err *e);

/* -ERR_INVALID for what is no label of a volume. */
int iso_label_check(const char *label, struct err *e);

/* What a volume made of system answers to: "2043-07-19-…", digits that look like a date. */
void iso_uuid(const char *system, char out[ISO_UUID_TEXT]);
