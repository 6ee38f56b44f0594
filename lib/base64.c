/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base64.h"

#include "lib/err.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_add(struct str *out, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (; n; b += 3, n -= n < 3 ? n : 3) {
		uint32_t v = (uint32_t)b[0] << 16 | (n > 1 ? (uint32_t)b[1] << 8 : 0) |
			     (n > 2 ? b[2] : 0);

		str_addc(out, digits[v >> 18]);
		str_addc(out, digits[v >> 12 & 63]);
		str_addc(out, n > 1 ? digits[v >> 6 & 63] : '=');
		str_addc(out, n > 2 ? digits[v & 63] : '=');
	}
}

/* Four characters; *ret_n bytes of the three count. */
static int decode_group(const char *p, uint8_t out[3], size_t *ret_n)
{
	uint32_t v = 0;
	size_t n = p[3] != '=' ? 4 : p[2] != '=' ? 3 : 2;

	for (size_t i = 0; i < 4; i++) {
		const char *d = i < n && p[i] ? strchr(digits, p[i]) : NULL;

		if (i < n && !d)
			return -ERR_SYNTAX;
		v = v << 6 | (d ? (uint32_t)(d - digits) : 0);
	}
	out[0] = (uint8_t)(v >> 16);
	out[1] = (uint8_t)(v >> 8);
	out[2] = (uint8_t)v;
	*ret_n = n - 1;
	return (n < 4 && out[2]) || (n < 3 && out[1]) ? -ERR_SYNTAX : 0;
}

int base64_decode(struct slice text, struct str *out)
{
	if (text.n % 4)
		return -ERR_SYNTAX;
	for (size_t i = 0; i < text.n; i += 4) {
		uint8_t b[3];
		size_t n;
		int r = decode_group(text.p + i, b, &n);

		if (r < 0 || (n < 3 && i + 4 < text.n))
			return -ERR_SYNTAX;
		str_addn(out, b, n);
	}
	return str_err(out);
}
