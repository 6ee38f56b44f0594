/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/text.h"

#include "lib/size.h"
#include "tests/unit/test.h"

static struct slice of(const char *s)
{
	return slice_of(s);
}

TEST(numbers)
{
	static const char *const bad[] = { "",
					   "-1",
					   "+1",
					   " 1",
					   "1 ",
					   "0x1",
					   "1.0",
					   "1e3",
					   "18446744073709551616",
					   "99999999999999999999" };
	uint64_t v = 7;

	CHECK_INT(text_u64(of("0"), UINT64_MAX, &v), 0);
	CHECK_INT(v, 0);
	CHECK_INT(text_u64(of("18446744073709551615"), UINT64_MAX, &v), 0);
	CHECK(v == UINT64_MAX);
	CHECK_INT(text_u64(of("007"), 7, &v), 0);
	CHECK_INT(v, 7);
	CHECK_INT(text_u64(of("8"), 7, &v), -ERR_SYNTAX);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(text_u64(of(bad[i]), UINT64_MAX, &v), -ERR_SYNTAX);
	CHECK_INT(v, 7);
}

TEST(sizes)
{
	uint64_t v = 0;

	CHECK_INT(text_size(of("12"), &v), 0);
	CHECK_INT(v, 12);
	CHECK_INT(text_size(of("3K"), &v), 0);
	CHECK_INT(v, 3072);
	CHECK_INT(text_size(of("2G"), &v), 0);
	CHECK_INT(v, 2147483648);
	CHECK_INT(text_size(of("K"), &v), -ERR_SYNTAX);
	CHECK_INT(text_size(of("3k"), &v), -ERR_SYNTAX);
	CHECK_INT(text_size(of("18446744073709551615K"), &v), -ERR_SYNTAX);
	CHECK_INT(text_size(of(""), &v), -ERR_SYNTAX);
}

TEST(durations)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} rows[] = {
		{ "5", 5000000000 },	 { "250ms", 250000000 },
		{ "10s", 10000000000 },	 { "2min", 120000000000 },
		{ "1h", 3600000000000 }, { "1d", 86400000000000 },
		{ "7us", 7000 },	 { "9ns", 9 },
	};
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_INT(text_duration(of(rows[i].text), &v), 0);
		CHECK_INT(v, rows[i].ns);
	}
	CHECK_INT(text_duration(of(""), &v), -ERR_SYNTAX);
	CHECK_INT(text_duration(of("ms"), &v), -ERR_SYNTAX);
	CHECK_INT(text_duration(of("5 s"), &v), -ERR_SYNTAX);
	CHECK_INT(text_duration(of("1w"), &v), -ERR_SYNTAX);
	CHECK_INT(text_duration(of("999999999999d"), &v), -ERR_SYNTAX);
}

TEST(hex)
{
	uint8_t b[3] = { 1, 2, 3 };
	char out[7];

	CHECK_INT(text_unhex(of("00fFa9"), b, 3), 0);
	text_hex(b, 3, out);
	CHECK_STR(out, "00ffa9");
	CHECK_INT(text_unhex(of("0011"), b, 3), -ERR_SYNTAX);
	CHECK_INT(text_unhex(of("00112g"), b, 3), -ERR_SYNTAX);
	text_hex(b, 3, out);
	CHECK_STR(out, "00ffa9");
}

TEST(human)
{
	static const struct {
		uint64_t n;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 1258291, "1.2 MiB" },
		{ 1048575, "1.0 MiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char out[16];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		text_human(rows[i].n, out);
		CHECK_STR(out, rows[i].text);
	}
}

TEST(json)
{
	auto_str struct str s = STR_INIT;

	text_json(&s, (struct slice){ "a\"\\n\x01\0\xc3\xa9\xff\xed\xa0\x80", 12 });
	CHECK_STR(s.buf, "\"a\\\"\\\\n\\u0001\\u0000\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
			 "\xef\xbf\xbd\"");
}

TEST(shell)
{
	static const char *const rows[][2] = {
		{ "plain-1.2/x=y", "plain-1.2/x=y" },
		{ "", "''" },
		{ "a b", "'a b'" },
		{ "it's", "'it'\\''s'" },
		{ "$HOME", "'$HOME'" },
		{ "~", "'~'" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_str struct str s = STR_INIT;

		text_shell(&s, rows[i][0]);
		CHECK_STR(s.buf, rows[i][1]);
	}
}

TEST(safe)
{
	auto_str struct str s = STR_INIT;

	text_safe(&s, SLICE("a\x1b[2J\n\xc2\x9b"
			    "b\xc3\xa9"));
	CHECK_STR(s.buf, "a\\x1b[2J\\x0a\\xc2\\x9bb\xc3\xa9");
}

/* Of each byte alone, and of each of two bytes that is a control character of UTF-8. */
TEST(safe_bytes)
{
	for (unsigned c = 0; c < 256; c++) {
		auto_str struct str s = STR_INIT;
		char in = (char)c, want[8] = { in };

		if (c < 0x20 || c == 0x7f)
			snprintf(want, sizeof(want), "\\x%02x", c);
		text_safe(&s, (struct slice){ &in, 1 });
		CHECK_STR(s.buf, want);
	}
	for (unsigned c = 0x80; c < 0xc0; c++) {
		auto_str struct str s = STR_INIT;
		char in[] = { (char)0xc2, (char)c }, want[16] = { in[0], in[1] };

		if (c < 0xa0)
			snprintf(want, sizeof(want), "\\xc2\\x%02x", c);
		text_safe(&s, (struct slice){ in, 2 });
		CHECK_STR(s.buf, want);
	}
	auto_str struct str end = STR_INIT;
	text_safe(&end, (struct slice){ "\xc2\x9b", 1 }); /* what follows is not looked at */
	CHECK_STR(end.buf, "\xc2");
}

TEST(nearest)
{
	static const char *const words[] = { "host_name", "timezone", "users", "services" };

	CHECK_STR(text_nearest("hostname", words, 4), "host_name");
	CHECK_STR(text_nearest("time_zone", words, 4), "timezone");
	CHECK_STR(text_nearest("suers", words, 4), "users");
	CHECK(text_nearest("kernel", words, 4) == NULL);
	CHECK(text_nearest("", words, 4) == NULL);
	CHECK(text_nearest("x", words, 4) == NULL);
}

TEST(utf8)
{
	static const char *const bad[] = {
		"\x80",		"\xc0\x80",	   "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xe0\x80\x80", "\xf5\x80\x80\x80"
	};

	CHECK(text_is_utf8(of("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
	CHECK(text_is_utf8(of("")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK(!text_is_utf8(of(bad[i])));
}

TEST(plain)
{
	CHECK(text_is_plain("a-Z09", "-"));
	CHECK(!text_is_plain("", "-") && !text_is_plain("-o", "-"));
	CHECK(!text_is_plain("a b", "-") && !text_is_plain("a;b", "-") &&
	      !text_is_plain("\303\244", "-"));
}

TEST_MAIN(plain, numbers, sizes, durations, hex, human, json, shell, safe, safe_bytes, nearest,
	  utf8)
