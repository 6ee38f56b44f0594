/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/stream.h"

#include <errno.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "store/format/protocol.h"
#include "tests/unit/test.h"

/* A stream that reads exactly these bytes and then the end. */
static void feed(struct stream *s, const void *p, size_t n)
{
	int pair[2];
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_INT(fd_write_full(pair[1], p, n), 0);
	close(pair[1]);
	CHECK_INT(stream_init(s, pair[0]), 0);
}

TEST(values)
{
	static const char in[] = "\x05\0\0\0\0\0\0\0"
				 "hello\0\0\0"
				 "\x02\0\0\0\0\0\0\0"
				 "\x01\0\0\0\0\0\0\0a\0\0\0\0\0\0\0"
				 "\0\0\0\0\0\0\0\0"
				 "\x01\0\0\0\0\0\0\0";
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	struct stream s;
	feed(&s, in, sizeof(in) - 1);
	CHECK_SLICE(stream_str(&s, &a, 100), "hello");
	stream_list(&s, &a, &v);
	CHECK_INT(v.n, 2);
	CHECK_STR(v.v[0], "a");
	CHECK_STR(v.v[1], "");
	CHECK(stream_bool(&s));
	CHECK_INT(s.err, 0);
	CHECK(!stream_wait(&s));
	CHECK_INT(s.err, -ENODATA);
	CHECK_INT(stream_u64(&s), 0);
	stream_done(&s);
}

static int str_error(const char *in, size_t n, size_t max, size_t budget)
{
	auto_arena struct arena a = ARENA_INIT;
	struct stream s;
	feed(&s, in, n);
	s.left = budget;
	CHECK_SLICE(stream_str(&s, &a, max), "");
	int err = s.err;
	CHECK(a.used < 4096);
	stream_done(&s);
	return err;
}

TEST(refusals)
{
	/* lengths that overflow, that lie, that exceed; padding that is not zero; cut short */
	CHECK_INT(str_error("\xff\xff\xff\xff\xff\xff\xff\xff", 8, 100, SIZE_MAX), -ERR_LIMIT);
	CHECK_INT(str_error("\xf8\xff\xff\xff\xff\xff\xff\xff", 8, SIZE_MAX - 1, 1000), -ERR_LIMIT);
	CHECK_INT(str_error("\x65\0\0\0\0\0\0\0", 8, 100, SIZE_MAX), -ERR_LIMIT);
	CHECK_INT(str_error("\x64\0\0\0\0\0\0\0", 8, 100, 99), -ERR_LIMIT);
	CHECK_INT(str_error("\x01\0\0\0\0\0\0\0a\0\0\0\0\0\0\1", 16, 100, SIZE_MAX), -ERR_PROTO);
	CHECK_INT(str_error("\x01\0\0\0\0\0\0\0a\0\0\0\0\0\0", 15, 100, SIZE_MAX), -ENODATA);
	CHECK_INT(str_error("\x01\0\0", 3, 100, SIZE_MAX), -ENODATA);
}

TEST(claims_cost_nothing)
{
	/* 64 MiB announced, nothing sent: no memory for it */
	CHECK_INT(str_error("\0\0\0\4\0\0\0\0", 8, PROTO_LIMIT_TEXT, PROTO_LIMIT_REQUEST),
		  -ENODATA);
}

TEST(count_bomb)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	auto_str struct str in = STR_INIT;
	struct stream s;
	for (int i = 0; i < 8; i++)
		str_addc(&in, i < 2 ? '\xff' : 0); /* 65535 strings … */
	for (int i = 0; i < 4000; i++)
		str_addn(&in, "\0\0\0\0\0\0\0\0", 8); /* … all empty */
	feed(&s, in.buf, in.len);
	s.left = 320;
	stream_list(&s, &a, &v);
	CHECK_INT(s.err, -ERR_LIMIT);
	CHECK_INT(v.n, 10);
	stream_done(&s);
}

TEST(nul_in_text)
{
	auto_arena struct arena a = ARENA_INIT;
	struct stream s;
	feed(&s, "\x03\0\0\0\0\0\0\0a\0b\0\0\0\0\0", 16);
	CHECK_STR(stream_cstr(&s, &a, 100), "");
	CHECK_INT(s.err, -ERR_PROTO);
	stream_done(&s);
}

static void count(void *arg)
{
	++*(unsigned *)arg;
}

TEST(who_does_not_read_is_given_up)
{
	static char piece[100000];
	unsigned idle = 0;
	struct stream s;
	int pair[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CHECK_INT(stream_init(&s, pair[0]), 0);
	s.stall_ns = 200000000;
	s.idle = count;
	s.idle_arg = &idle;
	for (int i = 0; i < 100 && !s.err; i++)
		stream_put_raw(&s, piece, sizeof(piece));
	CHECK_INT(s.err, -ETIMEDOUT);
	CHECK_INT(idle, 1);
	close(pair[1]);
	stream_done(&s);
}

TEST_MAIN(values, refusals, claims_cost_nothing, count_bomb, nul_in_text,
	  who_does_not_read_is_given_up)
