/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Roots that are never written: an image file on a medium, and memory above a read-only file
 * system. What is mounted on the way lies below /run, which moves along into the new root.
 */
#pragma once

#include "lib/err.h"

#define OVERLAY_MEDIUM "/run/cairn/medium" /* the file system that holds the image file */
#define OVERLAY_LOWER  "/run/cairn/lower"  /* what is read */
#define OVERLAY_STORE  "/run/cairn/store"  /* items that the emulator shares */
#define OVERLAY_UPPER  "/run/cairn/upper"  /* memory: what was written since the boot */

/* Mount the image file path (absolute, as seen below medium: OVERLAY_MEDIUM, or "" for the
 * initramfs) read-only at OVERLAY_LOWER, through a free loop device, which keeps a file that is
 * deleted. The kernel finds out the type: squashfs or erofs. */
int overlay_image(const char *medium, const char *path, struct err *e);
/* Mount OVERLAY_LOWER with memory above it at to, an existing directory. */
int overlay_mount(const char *to, struct err *e);
/* Mount the store that the machine's emulator shares under tag (9p, only read) below root's own:
 * what root's /gnu/store has or gets wins. */
int overlay_store(const char *root, const char *tag, struct err *e);
