/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/wire.h"

#include <errno.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "tests/unit/test.h"

TEST(round_trip)
{
	auto_str struct str out = STR_INIT;
	struct rd r;

	wr_u64(&out, 0x0123456789abcdef);
	wr_bool(&out, true);
	for (size_t n = 0; n < 20; n++)
		wr_str(&out, (struct slice){ "abcdefghijklmnopqrst", n });
	wr_cstr(&out, "end");
	CHECK_INT(out.len % 8, 0);
	CHECK_INT((unsigned char)out.buf[0], 0xef);
	r = rd_of(out.buf, out.len);
	CHECK(rd_u64(&r) == 0x0123456789abcdef);
	CHECK(rd_bool(&r));
	for (size_t n = 0; n < 20; n++) {
		struct slice s = rd_str(&r, 100);

		CHECK_INT(s.n, n);
		CHECK(slice_starts(SLICE("abcdefghijklmnopqrst"), "") &&
		      memcmp(s.p, "abcdefghijklmnopqrst", n) == 0);
	}
	CHECK_SLICE(rd_str(&r, 3), "end");
	CHECK_INT(rd_done(&r), 0);
}

/* Each prefix of good input is an error, and nothing is read beyond it. */
TEST(every_prefix_fails)
{
	auto_str struct str out = STR_INIT;

	wr_u64(&out, 7);
	wr_cstr(&out, "hello");
	wr_bool(&out, false);
	for (size_t n = 0; n < out.len; n++) {
		char *copy = malloc(n ? n : 1);
		struct rd r = rd_of(copy, n);

		memcpy(copy, out.buf, n);
		rd_u64(&r);
		rd_str(&r, 10);
		rd_bool(&r);
		CHECK_INT(rd_done(&r), -ERR_SYNTAX);
		free(copy);
	}
}

TEST(limits)
{
	auto_str struct str out = STR_INIT;
	struct rd r;

	wr_cstr(&out, "hello");
	r = rd_of(out.buf, out.len);
	CHECK_INT(rd_str(&r, 4).n, 0);
	CHECK_INT(rd_done(&r), -ERR_LIMIT);
	r = rd_of(out.buf, out.len);
	CHECK_INT(rd_max(&r, 5), 5);
	CHECK_INT(rd_max(&r, 5), 0);
	CHECK_INT(rd_done(&r), -ERR_LIMIT);
}

TEST(huge_lengths_do_not_wrap)
{
	auto_str struct str out = STR_INIT;
	struct rd r;

	wr_u64(&out, UINT64_MAX - 3);
	wr_u64(&out, 0);
	r = rd_of(out.buf, out.len);
	rd_str(&r, SIZE_MAX);
	CHECK(rd_done(&r) < 0);
}

TEST(padding_and_bools_are_strict)
{
	auto_str struct str out = STR_INIT;
	struct rd r;

	wr_cstr(&out, "hello");
	out.buf[out.len - 1] = 1;
	r = rd_of(out.buf, out.len);
	CHECK(rd_str(&r, 10).p == NULL);
	CHECK_INT(rd_done(&r), -ERR_SYNTAX);
	str_cut(&out, 0);
	wr_u64(&out, 2);
	r = rd_of(out.buf, out.len);
	CHECK(!rd_bool(&r));
	CHECK_INT(rd_done(&r), -ERR_SYNTAX);
}

TEST(trailing_bytes_fail)
{
	struct rd r = rd_of("12345678x", 9);

	rd_u64(&r);
	CHECK_INT(rd_done(&r), -ERR_SYNTAX);
}

TEST(errors_are_sticky)
{
	struct rd r = rd_of("1234567", 7);

	CHECK_INT(rd_u64(&r), 0);
	CHECK(rd_raw(&r, 1) == NULL);
	CHECK(rd_raw(&r, 0) == NULL);
	CHECK_INT(rd_done(&r), -ERR_SYNTAX);
}

TEST(writer_keeps_its_error)
{
	auto_str struct str out = STR_INIT;

	mem_fail(1);
	wr_u64(&out, 1);
	mem_fail(0);
	wr_cstr(&out, "x");
	CHECK_INT(str_err(&out), -ENOMEM);
	CHECK_INT(out.len, 0);
}

TEST_MAIN(round_trip, every_prefix_fails, limits, huge_lengths_do_not_wrap,
	  padding_and_bools_are_strict, trailing_bytes_fail, errors_are_sticky,
	  writer_keeps_its_error)
