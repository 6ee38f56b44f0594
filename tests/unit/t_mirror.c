/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/mirror.h"

#include <stdlib.h>

#include "tests/unit/test.h"

TEST(deb822)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *text = "# comment\n"
			   "Types: deb\n"
			   "URIs: http://security.example/debian-security\n"
			   "Suites: bookworm-security\n"
			   "Components: main\n"
			   "\n"
			   "Types: deb-src\n"
			   "URIs: http://src.example/debian\n"
			   "Suites: bookworm\n"
			   "Components: main\n"
			   "\n"
			   "Types: deb\n"
			   "URIs: http://off.example/debian\n"
			   "Suites: bookworm\n"
			   "Components: main\n"
			   "Enabled: no\n"
			   "\n"
			   "Types: deb deb-src\n"
			   "URIs: http://main.example/debian/ http://second.example/debian\n"
			   "Suites: bookworm bookworm-updates\n"
			   "Components: main contrib\n";
	CHECK_STR(mirror_parse_apt(&a, slice_of(text), true), "http://main.example/debian");
}

TEST(lines)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *text =
		"#deb http://off.example/debian bookworm main\n"
		"deb cdrom:[disc]/ bookworm main\n"
		"deb http://tools.example/apt stable main\n"
		"deb http://deb.example/debian-security bookworm-security main\n"
		"deb [arch=amd64 signed-by=/k] https://deb.example/debian bookworm main\n";
	CHECK_STR(mirror_parse_apt(&a, slice_of(text), false), "https://deb.example/debian");
	CHECK(!mirror_parse_apt(&a, SLICE("deb http://deb.example/debian bookworm contrib\n"),
				false));
	CHECK(!mirror_parse_apt(&a, SLICE("deb"), false));
	CHECK(!mirror_parse_apt(&a, SLICE("deb [x"), false));
}

TEST(expansion)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	setenv("CAIRN_MIRROR_SOME_NAME", "http://one.example/a/ http://two.example", 1);
	CHECK_INT(mirror_expand(&a, "http://plain.example/x", &v, NULL), 0);
	CHECK_INT(mirror_expand(&a, "mirror://some-name/pool/x", &v, NULL), 0);
	CHECK_INT(mirror_expand(&a, "mirror://unknown-name/pool/x", &v, NULL), 0);
	CHECK_INT(v.n, 3);
	CHECK_STR(v.v[0], "http://plain.example/x");
	CHECK_STR(v.v[1], "http://one.example/a/pool/x");
	CHECK_STR(v.v[2], "http://two.example/pool/x");
	CHECK(mirror_expand(&a, "mirror://name", &v, NULL) < 0);
	CHECK(mirror_expand(&a, "mirror:///x", &v, NULL) < 0);
}

TEST_MAIN(deb822, lines, expansion)
