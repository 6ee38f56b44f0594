/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <stdint.h>

#include "lib/err.h"
#include "lib/gpt.h"

#define SWAP_LABEL_MAX 16

/* Write the header of an empty swap space of size bytes at offset of fd (zeros there): version 1,
 * pages of 4096 bytes, as include/linux/swap.h of the kernel has it. */
int swap_make(int fd, uint64_t offset, uint64_t size, const struct guid *uuid, const char *label,
	      struct err *e);
