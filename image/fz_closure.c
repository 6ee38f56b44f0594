/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: the closure a builder is given. */
#include <stdint.h>
#include <stdlib.h>

#include "image/closure.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	struct err e = ERR_INIT;
	int r = closure_parse(&a, "/gnu/store", (struct slice){ (const char *)data, size }, &v, &e);

	/* A failure says why; what is accepted is sorted. */
	if ((r < 0) != (e.code < 0))
		abort();
	for (size_t i = 1; r == 0 && i < v.n; i++)
		if (strcmp(((const struct store_info *)v.v[i - 1])->path,
			   ((const struct store_info *)v.v[i])->path) >= 0)
			abort();
	return 0;
}
