/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * FAT inside a file, at an offset, without mounting: mkfs.fat makes the empty file system, mtools
 * copies files in. Serial number and times are given, so the same manifest makes the same bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "image/manifest.h"
#include "lib/err.h"

#define FAT_LABEL_MAX 11

struct fat_opts {
	const char *file;   /* exists; at least offset + size bytes, zeros there */
	uint64_t offset;    /* bytes, whole sectors */
	uint64_t size;	    /* bytes; from 128 KiB on */
	uint32_t serial;    /* of the volume */
	const char *label;  /* "" for none */
	const char *mkfs;   /* program mkfs.fat */
	const char *mtools; /* program mtools: all its commands in one */
	bool device;	    /* file is a disk */
	const char *roomy;  /* directory of the manifest, below another one, that is large enough
			     * for room bytes of entries from the beginning; NULL: none */
	uint32_t room;
	bool foreign; /* the file system was there: mtools may complain of it */
};

/* Make the file system and put m into it: directories and files; owners, modes and times of the
 * manifest have no place in FAT. -ERR_INVALID for links and devices. */
int fat_make(const struct fat_opts *o, const struct manifest *m, struct err *e);

/* A file system that is there, of which size, serial, label and mkfs are not looked at: bytes that
 * are free; -ERR_INVALID when mtools cannot read it. */
int fat_free(const struct fat_opts *o, uint64_t *ret, struct err *e);
/* Put the file source there as DIR/NAME (no DIR above it is needed); one with other contents is
 * kept as NAME.saved, unless that exists. Nothing else is touched, and cut off and run again it
 * completes. */
int fat_share(const struct fat_opts *o, const char *source, const char *dir, const char *name,
	      struct err *e);
