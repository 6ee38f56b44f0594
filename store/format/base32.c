/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/base32.h"

#include "lib/err.h"

static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";

static int digit_value(char c)
{
	static const int8_t letters[26] = { 10, 11, 12, 13, -1, 14, 15, 16, 17, 18, 19, 20, 21,
					    22, -1, 23, 24, 25, 26, -1, -1, 27, 28, 29, 30, 31 };

	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'z' ? letters[c - 'a'] : -1;
}

bool base32_char(char c)
{
	return digit_value(c) >= 0;
}

void base32_encode(const uint8_t *p, size_t n, char *out)
{
	for (size_t k = base32_len(n); k-- > 0;) {
		size_t bit = 5 * k, i = bit / 8, j = bit % 8;
		unsigned v = (unsigned)p[i] >> j;

		if (i + 1 < n)
			v |= (unsigned)p[i + 1] << (8 - j);
		*out++ = digits[v & 31];
	}
}

int base32_decode(struct slice text, uint8_t *out, size_t n)
{
	if (text.n != base32_len(n))
		return -ERR_SYNTAX;
	memset(out, 0, n);
	for (size_t k = 0; k < text.n; k++) {
		size_t bit = 5 * (text.n - 1 - k), i = bit / 8, j = bit % 8;
		int v = digit_value(text.p[k]);
		unsigned high;

		if (v < 0)
			return -ERR_SYNTAX;
		out[i] |= (uint8_t)((unsigned)v << j);
		high = (unsigned)v >> (8 - j);
		if (i + 1 < n)
			out[i + 1] |= (uint8_t)high;
		else if (high)
			return -ERR_SYNTAX;
	}
	return 0;
}
