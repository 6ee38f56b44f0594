/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/arena.h"

#include <errno.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "tests/unit/test.h"

TEST(memory_is_zeroed_and_aligned)
{
	auto_arena struct arena a = ARENA_INIT;

	for (size_t n = 0; n < 200; n++) {
		unsigned char *p = arena_alloc(&a, n);

		CHECK(p != NULL);
		CHECK_INT((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			CHECK_INT(p[i], 0);
		memset(p, 0xff, n);
	}
	CHECK_INT(arena_err(&a), 0);
}

TEST(objects_do_not_overlap)
{
	auto_arena struct arena a = ARENA_INIT;
	unsigned char *p[500];
	size_t size[500];

	for (size_t i = 0; i < 500; i++) {
		size[i] = (i * 37) % 3000;
		p[i] = arena_alloc(&a, size[i]);
		memset(p[i], (int)(i & 0xff), size[i]);
	}
	for (size_t i = 0; i < 500; i++)
		for (size_t j = 0; j < size[i]; j++)
			if (p[i][j] != (i & 0xff)) {
				TEST_FAIL("object %zu was overwritten", i);
				return;
			}
}

TEST(empty_objects_are_distinct)
{
	auto_arena struct arena a = ARENA_INIT;

	CHECK(arena_alloc(&a, 0) != arena_alloc(&a, 0));
}

TEST(strings)
{
	auto_arena struct arena a = ARENA_INIT;

	CHECK_STR(arena_str(&a, "one"), "one");
	CHECK_STR(arena_strn(&a, "twofold", 3), "two");
	CHECK_STR(arena_slice(&a, SLICE("three")), "three");
	CHECK_STR(arena_fmt(&a, "%s-%d", "four", 4), "four-4");
	CHECK_STR(arena_strn(&a, NULL, 0), "");
	CHECK(arena_str(&a, NULL) == NULL);
	CHECK_INT(arena_err(&a), 0);
	CHECK(memcmp(arena_dup(&a, "a\0b", 3), "a\0b", 3) == 0);
}

TEST(limit_is_kept_and_sticky)
{
	auto_arena struct arena a = ARENA_INIT;

	a.limit = 1000;
	CHECK(arena_alloc(&a, 900) != NULL);
	CHECK(arena_alloc(&a, 200) == NULL);
	CHECK_INT(arena_err(&a), -ERR_LIMIT);
	CHECK(arena_alloc(&a, 1) == NULL);
	CHECK(arena_str(&a, "x") == NULL);
}

TEST(overflow_is_an_error)
{
	auto_arena struct arena a = ARENA_INIT;

	CHECK(arena_array(&a, SIZE_MAX / 2, 3) == NULL);
	CHECK_INT(arena_err(&a), -ENOMEM);
	arena_done(&a);
	CHECK(arena_alloc(&a, SIZE_MAX) == NULL);
	arena_done(&a);
	CHECK(arena_alloc(&a, SIZE_MAX - 64) == NULL);
	arena_done(&a);
	CHECK(arena_strn(&a, "x", SIZE_MAX) == NULL);
	arena_done(NULL);
}

TEST(every_allocation_may_fail)
{
	mem_fail(0);
	for (size_t n = 1; n < 6; n++) {
		auto_arena struct arena a = ARENA_INIT;

		mem_fail(n);
		for (int i = 0; i < 20; i++)
			arena_fmt(&a, "%0900d", i);
		mem_fail(0);
		CHECK_INT(arena_err(&a), -ENOMEM);
	}
}

TEST_MAIN(memory_is_zeroed_and_aligned, objects_do_not_overlap, empty_objects_are_distinct, strings,
	  limit_is_kept_and_sticky, overflow_is_an_error, every_allocation_may_fail)
