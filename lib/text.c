/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/text.h"

#include "lib/size.h"

int text_u64(struct slice s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return -ERR_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return -ERR_SYNTAX;
	}
	if (v > max)
		return -ERR_SYNTAX;
	*ret = v;
	return 0;
}

int text_size(struct slice s, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	const char *at = s.n ? memchr(suffixes, s.p[s.n - 1], 4) : NULL;
	uint64_t unit = at ? (uint64_t)1 << (10 * (at - suffixes + 1)) : 1;
	uint64_t v;

	if (at)
		s.n--;
	if (text_u64(s, UINT64_MAX / unit, &v) < 0)
		return -ERR_SYNTAX;
	*ret = v * unit;
	return 0;
}

int text_duration(struct slice s, uint64_t *ret_ns)
{
	static const struct {
		const char *suffix;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", 1000 },
		{ "ms", 1000000 },
		{ "min", 60 * 1000000000ull },
		{ "s", 1000000000 },
		{ "h", 3600 * 1000000000ull },
		{ "d", 86400 * 1000000000ull },
		{ "", 1000000000 },
	};
	uint64_t v;
	size_t i = 0;

	while (!slice_ends(s, units[i].suffix))
		i++;
	s.n -= strlen(units[i].suffix);
	if (text_u64(s, UINT64_MAX / units[i].ns, &v) < 0)
		return -ERR_SYNTAX;
	*ret_ns = v * units[i].ns;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int text_unhex(struct slice s, uint8_t *out, size_t n)
{
	size_t digits;

	if (!size_mul(n, 2, &digits) || s.n != digits)
		return -ERR_SYNTAX;
	for (size_t i = 0; i < digits; i++)
		if (hex_digit(s.p[i]) < 0)
			return -ERR_SYNTAX;
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(hex_digit(s.p[2 * i]) << 4 | hex_digit(s.p[2 * i + 1]));
	return 0;
}

void text_hex(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

void text_human(uint64_t bytes, char out[16])
{
	static const char units[] = "KMGTPE";
	uint64_t tenths;
	unsigned unit = 0;

	if (bytes < 1024) {
		snprintf(out, 16, "%u B", (unsigned)bytes);
		return;
	}
	while (bytes >= (uint64_t)1024 * 1024 && unit < sizeof(units) - 2) {
		bytes /= 1024;
		unit++;
	}
	tenths = (bytes * 10 + 512) / 1024;
	if (tenths >= 10240 && unit < sizeof(units) - 2) {
		tenths = 10;
		unit++;
	}
	snprintf(out, 16, "%u.%u %ciB", (unsigned)(tenths / 10), (unsigned)(tenths % 10),
		 units[unit]);
}

/* Length of the well-formed UTF-8 sequence at the start of s, 0 when there is none (RFC 3629: no
 * overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t utf8_len(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s.n < n)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool text_is_utf8(struct slice s)
{
	while (s.n) {
		size_t n = utf8_len(s);

		if (n == 0)
			return false;
		s.p += n;
		s.n -= n;
	}
	return true;
}

static void json_ascii(struct str *out, char c)
{
	static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *at = c ? strchr(plain, c) : NULL;

	if (at)
		str_addf(out, "\\%c", letters[at - plain]);
	else if ((unsigned char)c < 0x20 || c == 0x7f)
		str_addf(out, "\\u%04x", (unsigned char)c);
	else
		str_addc(out, c);
}

void text_json(struct str *out, struct slice s)
{
	str_addc(out, '"');
	while (s.n) {
		size_t n = utf8_len(s);

		if (n == 1)
			json_ascii(out, s.p[0]);
		else if (n)
			str_addn(out, s.p, n);
		else
			str_add(out, "\xef\xbf\xbd");
		n = n ? n : 1;
		s.p += n;
		s.n -= n;
	}
	str_addc(out, '"');
}

void text_shell(struct str *out, const char *s)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_-./:=@%+,";

	if (*s && s[strspn(s, safe)] == '\0') {
		str_add(out, s);
		return;
	}
	str_addc(out, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			str_add(out, "'\\''");
		else
			str_addc(out, *s);
	}
	str_addc(out, '\'');
}

void text_safe(struct str *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		/* UTF-8 C1 controls (c2 80 .. c2 9f) move cursors too */
		bool c1 = c == 0xc2 && i + 1 < s.n && ((unsigned char)s.p[i + 1] & 0xe0) == 0x80;

		if (c < 0x20 || c == 0x7f)
			str_addf(out, "\\x%02x", c);
		else if (c1)
			str_addf(out, "\\xc2\\x%02x", (unsigned char)s.p[++i]);
		else
			str_addc(out, (char)c);
	}
}

#define NEAR_MAX 64

/* Edit distance where swapping two neighbours counts as one edit. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][NEAR_MAX + 1];
	size_t *before = rows[0], *prev = rows[1], *cur = rows[2], *spare;

	for (size_t j = 0; j <= nb; j++)
		prev[j] = j;
	for (size_t i = 1; i <= na; i++) {
		cur[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t best = prev[j - 1] + (a[i - 1] != b[j - 1]);

			best = MIN_OF(best, MIN_OF(prev[j], cur[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = MIN_OF(best, before[j - 2] + 1);
			cur[j] = best;
		}
		spare = before;
		before = prev;
		prev = cur;
		cur = spare;
	}
	return prev[nb];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t n)
{
	size_t len = strlen(word), best = len / 3 + 1;
	const char *found = NULL;

	if (len == 0 || len > NEAR_MAX)
		return NULL;
	best = MIN_OF(best, (size_t)3);
	for (size_t i = 0; i < n; i++) {
		size_t m = strlen(candidates[i]);
		size_t d = m && m <= NEAR_MAX ? distance(word, len, candidates[i], m) : SIZE_MAX;

		/* a match must keep something of the word */
		if (d < MIN_OF(len, m) && (d < best || (d == best && !found))) {
			best = d;
			found = candidates[i];
		}
	}
	return found;
}

bool text_is_plain(const char *text, const char *more)
{
	if (!*text || *text == '-')
		return false;
	for (; *text; text++)
		if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		      (*text >= '0' && *text <= '9') || strchr(more, *text)))
			return false;
	return true;
}
