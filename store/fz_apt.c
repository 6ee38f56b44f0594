/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: apt's source lists, in both forms. */
#include <stdint.h>

#include "store/build/mirror.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	struct slice text = { (const char *)data, size };
	for (int form = 0; form < 2; form++) {
		const char *base = mirror_parse_apt(&a, text, form);
		if (base && strncmp(base, "http", 4) != 0)
			abort();
	}
	return 0;
}
