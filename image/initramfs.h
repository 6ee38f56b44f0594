/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A machine that is all in memory: kernel, initramfs with the root in it, and the kernel's command
 * line, as three files that any boot loader, PXE or kexec starts.
 */
#pragma once

#include <stdint.h>

#include "image/contents.h"
#include "lib/err.h"

#define INITRAMFS_KERNEL  "bzImage"
#define INITRAMFS_INITRD  "initrd"
#define INITRAMFS_CMDLINE "cmdline"
#define INITRAMFS_ROOT	  "root.squashfs" /* in the initramfs */

struct initramfs_opts {
	const char *dir;	/* is created; must not exist */
	const char *mksquashfs; /* program */
	unsigned processors;
};

/* Write the directory; on failure it is removed. ret_size: of the initramfs. */
int initramfs_make(const struct initramfs_opts *o, struct contents *c, uint64_t *ret_size,
		   struct err *e);
