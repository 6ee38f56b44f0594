/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/tab.h"

#include <errno.h>

#include "lib/arena.h"
#include "lib/mem.h"
#include "tests/unit/test.h"

TEST(put_and_find)
{
	auto_tab struct tab t = TAB_INIT;
	bool new;
	int x, y;

	CHECK(tab_find(&t, SLICE("a")) == NULL);
	*tab_put(&t, SLICE("a"), &new) = &x;
	CHECK(new);
	*tab_put(&t, SLICE("b"), NULL) = &y;
	CHECK(*tab_put(&t, SLICE("a"), &new) == &x);
	CHECK(!new);
	CHECK(tab_find(&t, SLICE("b")) == &y);
	CHECK(!tab_has(&t, SLICE("c")));
	CHECK_INT(t.count, 2);
}

TEST(empty_key_is_a_key)
{
	auto_tab struct tab t = TAB_INIT;
	int x;

	*tab_put(&t, (struct slice){ NULL, 0 }, NULL) = &x;
	CHECK(tab_find(&t, SLICE("")) == &x);
	CHECK(tab_del(&t, (struct slice){ NULL, 0 }));
	CHECK(!tab_has(&t, SLICE("")));
}

/* Against a plain array as the model: insertions and deletions in a fixed pseudo-random order. */
TEST(like_a_model)
{
	auto_tab struct tab t = TAB_INIT;
	auto_arena struct arena a = ARENA_INIT;
	static char *keys[700];
	static bool present[700];
	unsigned seed = 12345;
	size_t count = 0;

	for (int i = 0; i < 700; i++)
		keys[i] = arena_fmt(&a, "key-%d", i);
	for (int step = 0; step < 20000; step++) {
		unsigned i;

		seed = seed * 1103515245 + 12345;
		i = (seed >> 8) % 700;
		if (seed >> 30 & 1) {
			*tab_put(&t, slice_of(keys[i]), NULL) = keys[i];
			count += !present[i];
			present[i] = true;
		} else {
			CHECK_INT(tab_del(&t, slice_of(keys[i])), present[i]);
			count -= present[i];
			present[i] = false;
		}
	}
	CHECK_INT(t.count, count);
	for (int i = 0; i < 700; i++)
		CHECK(tab_find(&t, slice_of(keys[i])) == (present[i] ? keys[i] : NULL));
}

TEST(iteration_sees_each_once)
{
	auto_tab struct tab t = TAB_INIT;
	auto_arena struct arena a = ARENA_INIT;
	struct tab_slot *s;
	int seen[100] = { 0 };
	size_t pos = 0;

	for (int i = 0; i < 100; i++)
		*tab_put(&t, slice_of(arena_fmt(&a, "%d", i)), NULL) = &seen[i];
	while ((s = tab_next(&t, &pos)))
		++*(int *)s->value;
	for (int i = 0; i < 100; i++)
		CHECK_INT(seen[i], 1);
}

TEST(no_memory)
{
	auto_tab struct tab t = TAB_INIT;

	mem_fail(1);
	CHECK(tab_put(&t, SLICE("a"), NULL) == NULL);
	mem_fail(0);
	CHECK_INT(t.err, -ENOMEM);
	CHECK(!tab_has(&t, SLICE("a")));
}

TEST_MAIN(put_and_find, empty_key_is_a_key, like_a_model, iteration_sees_each_once, no_memory)
