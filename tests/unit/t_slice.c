/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/slice.h"

#include "tests/unit/test.h"

TEST(compare)
{
	CHECK(slice_eq(SLICE("a"), SLICE("a")));
	CHECK(!slice_eq(SLICE("a"), SLICE("ab")));
	CHECK(slice_eq((struct slice){ NULL, 0 }, SLICE("")));
	CHECK(slice_cmp(SLICE("a"), SLICE("b")) < 0);
	CHECK(slice_cmp(SLICE("ab"), SLICE("a")) > 0);
	CHECK(slice_cmp(SLICE("\xff"), SLICE("a")) > 0);
	CHECK_INT(slice_cmp((struct slice){ NULL, 0 }, SLICE("")), 0);
}

TEST(ends)
{
	CHECK(slice_starts(SLICE("abc"), "ab"));
	CHECK(!slice_starts(SLICE("a"), "ab"));
	CHECK(slice_starts((struct slice){ NULL, 0 }, ""));
	CHECK(slice_ends(SLICE("abc"), "bc"));
	CHECK(!slice_ends(SLICE("c"), "bc"));
	CHECK_SLICE(slice_trim(SLICE(" \t a b\n ")), "a b");
	CHECK_SLICE(slice_trim(SLICE("   ")), "");
	CHECK_SLICE(slice_of(NULL), "");
}

TEST(cut)
{
	struct slice rest = SLICE("a,,b"), part;

	CHECK(slice_cut(&rest, ',', &part));
	CHECK_SLICE(part, "a");
	CHECK(slice_cut(&rest, ',', &part));
	CHECK_SLICE(part, "");
	CHECK(slice_cut(&rest, ',', &part));
	CHECK_SLICE(part, "b");
	CHECK(!slice_cut(&rest, ',', &part));
	rest = SLICE("a,");
	CHECK(slice_cut(&rest, ',', &part));
	CHECK(slice_cut(&rest, ',', &part));
	CHECK_INT(part.n, 0);
	CHECK(!slice_cut(&rest, ',', &part));
	rest = SLICE("");
	CHECK(slice_cut(&rest, ',', &part));
	CHECK(!slice_cut(&rest, ',', &part));
}

TEST_MAIN(compare, ends, cut)
