/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Archives in the "newc" form of cpio: what the kernel unpacks as its initramfs. */
#pragma once

#include <stdint.h>

#include "lib/str.h"

#define CPIO_TRAILER	"TRAILER!!!" /* name of the last member */
#define CPIO_ALIGN	4	     /* names and bodies begin at multiples of it */
#define LIMIT_CPIO_BODY UINT32_MAX   /* bytes; the format has no room for more */

struct cpio_head {
	uint32_t ino, mode, nlink, size, rmajor, rminor;
};

/* Add head and name of a member: root's, of time 1. h->size bytes and cpio_pad() of it follow. The
 * archive must begin at the start of s. */
void cpio_member(struct str *s, const struct cpio_head *h, const char *name);
/* Add zeros up to a multiple of align. */
void cpio_pad(struct str *s, size_t align);
