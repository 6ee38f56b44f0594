/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A raw disk as a qcow2 file, version 3: what is zero is left out, everything else is copied, in
 * order. doc/image.md describes what is in the file.
 */
#pragma once

#include <stdint.h>

#include "lib/err.h"

#define QCOW2_SECTOR	 512
#define LIMIT_QCOW2_DISK (UINT64_C(1) << 50) /* bytes */

/* Write the disk in input to output, which must not exist and is removed on failure. Same disk,
 * same bytes, wherever its holes are. -ERR_INVALID when input is no disk: no regular file, empty,
 * no whole sectors. */
int qcow2_make(const char *input, const char *output, uint64_t *ret_size, struct err *e);
