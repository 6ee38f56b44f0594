/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The environment block as the files of this directory know it. */
#pragma once

#include "lib/err.h"

#define COUNT_GOOD "cairn_good" /* generation that came up well last */
#define COUNT_TRY  "cairn_try"	/* generation on trial */
#define COUNT_LEFT "cairn_left" /* boots it still gets */

#define BOOT_DIR "boot/grub"

/* Make the environment block in dir (BOOT_DIR of a root) when there is none, or none that can be
 * read. It must have its blocks before the boot loader ever writes to it. */
int boot_env_ensure(int dir, struct err *e);
