/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: heads of HTTP requests. What is accepted has a path of printable bytes. */
#include "store/build/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	struct slice all = { (const char *)data, size };
	struct http_request q;
	size_t n = http_head_length(all);
	int r = http_parse(&a, (struct slice){ all.p, n }, &q);

	if (r != 0 && (r < 400 || r > 599))
		abort();
	if (r == 0 && (!n || q.path[0] != '/'))
		abort();
	for (const char *p = r == 0 ? q.path : ""; *p; p++)
		if (*p <= ' ' || *p >= 127)
			abort();
	return 0;
}
