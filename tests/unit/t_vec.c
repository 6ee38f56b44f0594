/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/vec.h"

#include <errno.h>

#include "lib/mem.h"
#include "tests/unit/test.h"

TEST(adds_in_order)
{
	auto_vec struct vec v = VEC_INIT;
	static int x[100];

	for (int i = 0; i < 100; i++)
		vec_add(&v, &x[i]);
	CHECK_INT(v.n, 100);
	for (int i = 0; i < 100; i++)
		CHECK(v.v[i] == &x[i]);
}

TEST(sorts_and_drops_repeats)
{
	auto_vec struct vec v = VEC_INIT;
	static char *words[] = { "b", "a", "c", "a", "B", "c" };

	vec_sort_str(&v);
	vec_uniq_str(&v);
	CHECK(!vec_has_str(&v, "a"));
	for (size_t i = 0; i < 6; i++)
		vec_add(&v, words[i]);
	vec_sort_str(&v);
	vec_uniq_str(&v);
	CHECK_INT(v.n, 4);
	CHECK_STR(v.v[0], "B");
	CHECK_STR(v.v[3], "c");
	CHECK(vec_has_str(&v, "b"));
	CHECK(!vec_has_str(&v, "d"));
}

TEST(no_memory)
{
	auto_vec struct vec v = VEC_INIT;

	for (int i = 0; i < 8; i++)
		vec_add(&v, "kept");
	mem_fail(1);
	vec_add(&v, "lost");
	mem_fail(0);
	vec_add(&v, "lost too");
	CHECK_INT(v.err, -ENOMEM);
	CHECK_INT(v.n, 8);
	vec_done(NULL);
}

TEST_MAIN(adds_in_order, sorts_and_drops_repeats, no_memory)
