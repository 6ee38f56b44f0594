/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * GUID partition tables as bytes: a protective MBR, header and entries at both ends, sectors of 512
 * bytes, 128 entries of 128 bytes. Nothing here touches a file.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/slice.h"

#define GPT_SECTOR	 512
#define GPT_ENTRIES	 128
#define GPT_HEAD_SECTORS 34 /* MBR, header, entries */
#define GPT_TAIL_SECTORS 33 /* entries, header */
#define GPT_LABEL_MAX	 36 /* UTF-16 units */

/* In the order of its text, not of its mixed-endian bytes on disk. */
struct guid {
	uint8_t b[16];
};

#define GUID_TEXT_MAX 37
/* "21686148-6449-6E6F-744E-656564454649", either case. 0 or -ERR_SYNTAX. */
int guid_parse(struct slice text, struct guid *ret);
void guid_format(const struct guid *g, char out[GUID_TEXT_MAX]); /* lower case */

#define GPT_TYPE_BIOS_BOOT  "21686148-6449-6e6f-744e-656564454649"
#define GPT_TYPE_ESP	    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
#define GPT_TYPE_LINUX_ROOT "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" /* x86-64 */
#define GPT_TYPE_LINUX_SWAP "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"
#define GPT_TYPE_LINUX_DATA "0fc63daf-8483-4772-8e79-3d69d8477de4"

struct gpt_part {
	struct guid type, id;
	uint64_t first, last; /* sectors, inclusive */
	uint64_t attributes;
	const char *label; /* ASCII; borrowed */
	unsigned number;   /* from gpt_parse(): what kernels and GRUB call it */
};

struct gpt {
	struct guid disk;
	uint64_t sectors; /* of the whole disk */
	struct gpt_part part[GPT_ENTRIES];
	size_t nparts;
};

/* The first GPT_HEAD_SECTORS and the last GPT_TAIL_SECTORS sectors of the disk. -ERR_INVALID when
 * partitions overlap, leave the usable area, or a label does not fit. */
int gpt_format(const struct gpt *g, uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR],
	       uint8_t tail[GPT_TAIL_SECTORS * GPT_SECTOR], struct err *e);

/* Read the table from the first GPT_HEAD_SECTORS sectors; all checksums and bounds are checked.
 * Labels are not kept (NULL). Entries that are not in use are left out: .number counts them. */
int gpt_parse(const uint8_t head[GPT_HEAD_SECTORS * GPT_SECTOR], struct gpt *ret, struct err *e);

uint32_t crc32_of(const void *p, size_t n); /* IEEE 802.3 */
