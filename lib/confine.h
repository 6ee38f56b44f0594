/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A process that is about to look at what nobody vouches for gives up what it does not need. */
#pragma once

#include <stdint.h>

/*
 * From here on this process, which should be a child that was forked for it, can read, write and
 * seek in what it has open, get memory, and end. Every other system call fails with EPERM. It has
 * that many seconds of processor time, writes no file, and ends when its parent does.
 * 0, or -errno and the step that failed: the filter is the last one.
 */
int confine_self(uint64_t seconds, const char **ret_step);
