/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages that services send to the notification socket. */
#include <stdlib.h>
#include <string.h>

#include "init/notify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Is text within the message, and the very end of its line? */
static bool is_inside(struct slice text, const char *begin, size_t size)
{
	return text.p >= begin && text.p + text.n <= begin + size &&
	       !memchr(text.p, '\n', text.n) &&
	       (text.p + text.n == begin + size || text.p[text.n] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *begin = (const char *)data;
	struct slice rest = { begin, size };
	struct notify_line line;
	size_t lines = 0;

	while (notify_next(&rest, &line)) {
		lines++;
		if (line.text.n && !is_inside(line.text, begin, size))
			abort();
		if (line.what == NOTIFY_EXTEND ? line.number > 86400000000ull
					       : line.number > 1 << 22)
			abort();
		if (line.what == NOTIFY_STATUS && memcmp(line.text.p - 7, "STATUS=", 7) != 0)
			abort();
	}
	if (lines > size + 1)
		abort();
	return 0;
}
