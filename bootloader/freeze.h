/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <stdbool.h>

#include "lib/err.h"

/*
 * Bring everything written to the file system of dirfd to its final place on the disk, past the
 * journal: syncfs, then freeze and thaw. Where freezing is not possible (no privilege, a file
 * system that cannot) only the syncfs happens and *ret_frozen is false.
 *
 * Must not be called by a process that holds locks a frozen file system needs; the caller waits for
 * at most a few seconds beyond the flush itself.
 */
int freeze_flush(int dirfd, bool *ret_frozen, struct err *e);
