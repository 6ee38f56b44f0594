/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/scheme.h"

#include "tests/unit/test.h"

/* Parse and join with '|'; NULL: refused. */
static const char *parse(struct arena *a, const char *text)
{
	auto_vec struct vec v = VEC_INIT;
	char *out = arena_str(a, "");
	if (scheme_strings(a, slice_of(text), &v, NULL))
		return NULL;
	for (size_t i = 0; i < v.n; i++)
		out = arena_fmt(a, "%s%s%s", out, i ? "|" : "", (char *)v.v[i]);
	return out;
}

TEST(accepts)
{
	auto_arena struct arena a = ARENA_INIT;
	CHECK_STR(parse(&a, "\"http://x/y\""), "http://x/y");
	CHECK_STR(parse(&a, " \"a\" \n"), "a");
	CHECK_STR(parse(&a, "(\"a\" \"b\")"), "a|b");
	CHECK_STR(parse(&a, "( \"a\"\n\t\"b\" )"), "a|b");
	CHECK_STR(parse(&a, "\"q\\\"b\\\\s\\n\""), "q\"b\\s\n");
	CHECK_STR(parse(&a, "\"\""), "");
}

TEST(refuses)
{
	static const char *const bad[] = {
		"",	     "a",	  "http://x",	 "\"a",	    "\"a\\\"",
		"(\"a\"",    "(\"a\" b)", "()",		 "\"a\" b", "(\"a\"))",
		"((\"a\"))", "'(\"a\")",  "\"a\\x41;\"", "\"\\",    "(\"a\" . \"b\")",
	};
	auto_arena struct arena a = ARENA_INIT;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(&a, bad[i]))
			TEST_FAIL("accepted: %s", bad[i]);
}

static const char *assoc(struct arena *a, const char *text, const char *key)
{
	auto_vec struct vec v = VEC_INIT;
	char *out = arena_str(a, "");
	if (scheme_assoc(a, slice_of(text), slice_of(key), &v, NULL))
		return NULL;
	for (size_t i = 0; i < v.n; i++)
		out = arena_fmt(a, "%s%s%s", out, i ? "|" : "", (char *)v.v[i]);
	return out;
}

TEST(tables)
{
	static const char table[] =
		"((gnu \"http://a/\" \"ftp://b\")\n (x.org \"http://c/\")(none))";
	auto_arena struct arena a = ARENA_INIT;
	CHECK_STR(assoc(&a, table, "gnu"), "http://a/|ftp://b");
	CHECK_STR(assoc(&a, table, "x.org"), "http://c/");
	CHECK_STR(assoc(&a, table, "none"), "");
	CHECK_STR(assoc(&a, table, "gn"), "");
	CHECK_STR(assoc(&a, "()", "gnu"), "");
	static const char *const bad[] = { "",
					   "gnu",
					   "(gnu",
					   "((gnu \"a\"",
					   "((gnu a))",
					   "((\"a\"))",
					   "((gnu (\"a\")))",
					   "(lambda () (system \"x\"))" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (assoc(&a, bad[i], "other"))
			TEST_FAIL("accepted: %s", bad[i]);
}

TEST_MAIN(accepts, refuses, tables)
