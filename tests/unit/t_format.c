/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PID 1's own snprintf against the C library's. */
#include "init/format.h"

#include <stdint.h>
#include <stdio.h>

#include "tests/unit/test.h"

__attribute__((format(printf, 2, 3))) static void same(size_t size, const char *format, ...)
{
	char own[256], libc[256];
	va_list ap;

	memset(own, '~', sizeof(own));
	memset(libc, '~', sizeof(libc));
	va_start(ap, format);
	int n = format_text(own, size, format, ap);
	va_end(ap);
	va_start(ap, format);
	int m = vsnprintf(libc, size, format, ap);
	va_end(ap);
	if (n != m || memcmp(own, libc, sizeof(own)) != 0)
		TEST_FAIL("%s: '%.60s' (%d), not '%.60s' (%d)", format, own, n, libc, m);
}

TEST(texts)
{
	same(256, "plain %% text");
	same(256, "%s|%10s|%-10s|%.3s|%.*s|%-*s|%*s", "a", "b", "c", "defgh", 2, "ijk", 5, "l", -4,
	     "m");
	same(256, "%c|%3c|%-3c", 'x', 'y', 'z');
	same(256, "%.0s|%s", "gone", "");
}

TEST(numbers)
{
	static const long long values[] = { 0,	  1,	     -1,	9,	   10,
					    4096, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		long long v = values[i];
		same(256, "%d|%u|%x|%X|%i", (int)v, (unsigned)v, (unsigned)v, (unsigned)v, (int)v);
		same(256, "%ld|%lu|%lld|%llu|%llx|%zu|%zd", (long)v, (unsigned long)v, v,
		     (unsigned long long)v, (unsigned long long)v, (size_t)v, (ssize_t)v);
		same(256, "%02d|%04x|%016llx|%8u|%-8u|%08X|%#x", (int)v, (unsigned)v,
		     (unsigned long long)v, (unsigned)v, (unsigned)v, (unsigned)v, (unsigned)v);
		same(256, "%.4d|%8.3d|%.0u|%-5.2x", (int)v, (int)v, (unsigned)v, (unsigned)v);
	}
}

/* Never a byte beyond the end, and the length of the whole. */
TEST(bounds)
{
	for (size_t size = 0; size < 12; size++)
		same(size, "%s %5d", "four", 12);
}

TEST_MAIN(texts, numbers, bounds)
