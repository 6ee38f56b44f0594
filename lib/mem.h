/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one place where lib/ asks for memory, so that tests can make the n-th request fail.
 * Memory is freed with free().
 */
#pragma once

#include <stddef.h>

void *mem_realloc(void *p, size_t n); /* p NULL: allocate; NULL when there is no memory */
void *mem_zalloc(size_t n);

/* For tests: the n-th request from now (1: the next) fails, and all after it until mem_fail(0).
 * Returns how many requests there were since the last call. */
size_t mem_fail(size_t n);
