/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/str.h"

#include <errno.h>
#include <stdint.h>

#include "lib/mem.h"
#include "tests/unit/test.h"

TEST(starts_empty)
{
	auto_str struct str s = STR_INIT;

	CHECK_STR(s.buf, "");
	CHECK_INT(s.len, 0);
	str_add(&s, "");
	CHECK_INT(s.cap, 0);
}

TEST(adds)
{
	auto_str struct str s = STR_INIT;

	str_add(&s, "ab");
	str_addc(&s, 'c');
	str_addn(&s, "d\0e", 3);
	str_adds(&s, SLICE("fg"));
	str_addf(&s, "-%d-%s", 42, "x");
	CHECK_INT(s.len, 13);
	CHECK(memcmp(s.buf, "abcd\0efg-42-x", 14) == 0);
	CHECK_INT(str_err(&s), 0);
}

TEST(grows_many_times)
{
	auto_str struct str s = STR_INIT;

	for (int i = 0; i < 10000; i++)
		str_addf(&s, "%04d", i);
	CHECK_INT(s.len, 40000);
	CHECK(memcmp(s.buf + 4 * 1234, "1234", 4) == 0);
	CHECK_INT(s.buf[s.len], 0);
}

TEST(cuts_and_drops)
{
	auto_str struct str s = STR_INIT;

	str_drop(&s, 0);
	str_add(&s, "hello world");
	str_cut(&s, 5);
	CHECK_STR(s.buf, "hello");
	str_drop(&s, 4);
	CHECK_STR(s.buf, "o");
	str_drop(&s, 99);
	CHECK_STR(s.buf, "");
}

TEST(room_is_filled_by_the_caller)
{
	auto_str struct str s = STR_INIT;
	char *p;

	str_add(&s, "a");
	p = str_room(&s, 3);
	CHECK(p != NULL);
	memcpy(p, "bcd", 3);
	str_grown(&s, 2);
	CHECK_STR(s.buf, "abc");
}

TEST(take_gives_the_buffer_away)
{
	struct str s = STR_INIT;
	char *p;

	str_add(&s, "mine");
	p = str_take(&s);
	CHECK_STR(p, "mine");
	CHECK_STR(s.buf, "");
	CHECK_INT(s.cap, 0);
	free(p);
	p = str_take(&s);
	CHECK_STR(p, "");
	free(p);
	str_done(&s);
	str_done(NULL);
}

TEST(error_is_sticky)
{
	auto_str struct str s = STR_INIT;

	str_add(&s, "kept");
	mem_fail(1);
	str_addf(&s, "%0200d", 1);
	mem_fail(0);
	str_add(&s, "ignored");
	CHECK_INT(str_err(&s), -ENOMEM);
	CHECK_STR(s.buf, "kept");
	CHECK(str_take(&s) == NULL);
	CHECK(str_room(&s, 1) == NULL);
}

TEST(overflow_is_an_error)
{
	auto_str struct str s = STR_INIT;

	str_add(&s, "x");
	CHECK(str_room(&s, SIZE_MAX - 1) == NULL);
	CHECK_INT(str_err(&s), -ENOMEM);
}

TEST_MAIN(starts_empty, adds, grows_many_times, cuts_and_drops, room_is_filled_by_the_caller,
	  take_gives_the_buffer_away, error_is_sticky, overflow_is_an_error)
