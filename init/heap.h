/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The memory of PID 1: one piece that grows at its end, cut into blocks, the lowest fitting one
 * first. Loads are the only ones who ask, so it is made to be small, not fast.
 *
 * A block that was written beyond its end, or is freed twice, is noticed when it is freed: the
 * program traps, and its next life begins from what it kept.
 */
#pragma once

#include <stddef.h>

void *heap_alloc(size_t n);	       /* aligned for everything; NULL: no memory */
void *heap_realloc(void *p, size_t n); /* like realloc(); a block is never made smaller */
void heap_free(void *p);
/* Give the kernel back the pages that no block is in. */
void heap_trim(void);
