/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/path.h"

#include <errno.h>

#include "tests/unit/test.h"

TEST(push_and_pop)
{
	struct path p;
	size_t old;

	path_init(&p, "/a");
	old = path_push(&p, "b");
	CHECK_STR(p.buf, "/a/b");
	path_push(&p, "c");
	CHECK_STR(p.buf, "/a/b/c");
	path_pop(&p, old);
	CHECK_STR(p.buf, "/a");
	path_init(&p, "/");
	path_push(&p, "x");
	CHECK_STR(p.buf, "/x");
	path_init(&p, "");
	path_push(&p, "rel");
	CHECK_STR(p.buf, "rel");
}

TEST(overflow_is_sticky)
{
	static char big[PATH_MAX];
	struct path p;

	memset(big, 'x', sizeof(big) - 1);
	path_init(&p, "/");
	path_push(&p, big);
	CHECK_INT(p.err, -ENAMETOOLONG);
	path_init(&p, big);
	CHECK_INT(p.err, 0);
	path_push(&p, "y");
	CHECK_INT(p.err, -ENAMETOOLONG);
}

TEST(join)
{
	static char big[PATH_MAX];
	char out[PATH_MAX];

	CHECK_INT(path_join(out, "a", "b"), 0);
	CHECK_STR(out, "a/b");
	CHECK_INT(path_join(out, "/", "b"), 0);
	CHECK_STR(out, "/b");
	memset(big, 'x', sizeof(big) - 1);
	CHECK_INT(path_join(out, big, "b"), -ENAMETOOLONG);
}

TEST(base_and_dir)
{
	static const char *const rows[][3] = {
		{ "/a/b", "b", "/a" }, { "/x", "x", "/" }, { "x", "x", "." },
		{ "a/", "", "a" },     { "/", "", "/" },
	};
	char out[PATH_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_STR(path_base(rows[i][0]), rows[i][1]);
		CHECK_INT(path_dir(out, rows[i][0]), 0);
		CHECK_STR(out, rows[i][2]);
	}
}

TEST(clean)
{
	CHECK(path_is_clean("/"));
	CHECK(path_is_clean("/a/b"));
	CHECK(path_is_clean("a"));
	CHECK(path_is_clean("..."));
	CHECK(!path_is_clean(""));
	CHECK(!path_is_clean("//a"));
	CHECK(!path_is_clean("/a/"));
	CHECK(!path_is_clean("/a/../b"));
	CHECK(!path_is_clean("."));
}

TEST(below)
{
	CHECK(path_is_below("/a", "/a"));
	CHECK(path_is_below("/a/b", "/a"));
	CHECK(!path_is_below("/ab", "/a"));
	CHECK(!path_is_below("/", "/a"));
	CHECK(path_is_below("/a", "/"));
}

TEST_MAIN(push_and_pop, overflow_is_sticky, join, base_and_dir, clean, below)
