/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mem.h"

#include <stdbool.h>

static size_t fail_at, requests;

static bool refused(void)
{
	requests++;
	return fail_at && requests >= fail_at;
}

size_t mem_fail(size_t n)
{
	size_t seen = requests;

	requests = 0;
	fail_at = n;
	return seen;
}

void *mem_realloc(void *p, size_t n)
{
	return refused() ? NULL : realloc(p, n ? n : 1);
}

void *mem_zalloc(size_t n)
{
	return refused() ? NULL : calloc(1, n ? n : 1);
}
