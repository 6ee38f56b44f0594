/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/swap.h"

#include <errno.h>
#include <unistd.h>

#define PAGE	  4096
#define MIN_PAGES 10 /* what the kernel accepts */

static void put32(uint8_t *p, uint32_t v)
{
	for (size_t i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

int swap_make(int fd, uint64_t offset, uint64_t size, const struct guid *uuid, const char *label,
	      struct err *e)
{
	uint8_t page[PAGE] = { 0 };
	uint64_t pages = size / PAGE;

	if (pages < MIN_PAGES || pages > UINT32_MAX)
		return err_set(e, -ERR_INVALID, "swap space cannot have %llu bytes",
			       (unsigned long long)size);
	if (strlen(label) > SWAP_LABEL_MAX)
		return err_set(e, -ERR_INVALID, "label '%s' is longer than %d bytes", label,
			       SWAP_LABEL_MAX);
	/* The first 1024 bytes are left for boot code. */
	put32(page + 1024, 1);
	put32(page + 1028, (uint32_t)(pages - 1)); /* the last page */
	memcpy(page + 1036, uuid->b, 16);
	memcpy(page + 1052, label, strlen(label));
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	ssize_t n = pwrite(fd, page, sizeof(page), (off_t)offset);
	if (n < 0)
		return err_sys(e, "writing swap space");
	return n == PAGE ? 0 : err_num(e, -EIO, "writing swap space");
}
