/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: the URLs of downloads. What is accepted has at least one string. */
#include <stdint.h>

#include "store/format/scheme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	struct err e = ERR_INIT;
	int r = scheme_strings(&a, (struct slice){ (const char *)data, size }, &v, &e);
	if (r == 0 ? v.n == 0 : e.code != r)
		abort();
	return 0;
}
