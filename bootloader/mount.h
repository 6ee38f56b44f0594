/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is what is mounted where a boot loader reads what the configuration says? */
#pragma once

#include "bootloader/bootloader.h"

/* top is the directory of p that is apart from root, path its name. -ERR_INVALID, and e says what
 * is there and what is to be: nothing is mounted, another type, or another partition. What cannot
 * be known, as no device tells it, is not held against anybody. */
int boot_mount_check(const struct boot_place *p, int root, int top, const char *path,
		     struct err *e);
