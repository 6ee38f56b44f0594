/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: what a kernel module says of itself. */
#include <stdint.h>
#include <stdlib.h>

#include "system/modinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice file = { (const char *)data, size }, info, key, value;
	size_t sum = 0;

	if (!modinfo_find(file, &info))
		return 0;
	while (modinfo_next(&info, &key, &value))
		sum += key.n + value.n;
	if (sum > size)
		abort();
	return 0;
}
