/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/loop.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/mem.h"
#include "tests/unit/test.h"

#define LONG_TIME 5000000000ull

static unsigned calls;

static void count(struct loop_fd *src, uint32_t events)
{
	char c;

	CHECK(events & EPOLLIN);
	CHECK_INT(read(src->fd, &c, 1), 1);
	calls++;
}

static void remove_other(struct loop_fd *src, uint32_t events)
{
	struct loop_fd *other = src->arg;

	calls++;
	loop_del(src);
	loop_del(other);
	/* Its memory is the caller's again at once. */
	memset(other, 0xee, sizeof(*other));
}

TEST(descriptors)
{
	struct loop_fd src = { .fd = -1, .fn = count };
	struct loop *l;
	int fds[2];

	calls = 0;
	CHECK_INT(loop_new(0, &l), 0);
	CHECK_INT(pipe(fds), 0);
	CHECK_INT(loop_add(l, &src, fds[0], EPOLLIN), 0);
	CHECK_INT(loop_turn(l, 0), 0);
	CHECK_INT(calls, 0);
	CHECK_INT(write(fds[1], "ab", 2), 2);
	CHECK_INT(loop_turn(l, LONG_TIME), 0);
	CHECK_INT(calls, 1);
	CHECK_INT(loop_turn(l, LONG_TIME), 0);
	CHECK_INT(calls, 2);
	CHECK_INT(write(fds[1], "c", 1), 1);
	CHECK_INT(loop_mod(&src, 0), 0);
	CHECK_INT(loop_turn(l, 0), 0);
	CHECK_INT(calls, 2);
	loop_del(&src);
	CHECK_INT(src.fd, -1);
	loop_del(&src);
	CHECK_INT(loop_mod(&src, EPOLLIN), -EINVAL);
	CHECK_INT(loop_add(l, &src, -1, EPOLLIN), -EBADF);
	loop_free(l);
	loop_free(NULL);
	close(fds[0]);
	close(fds[1]);
}

TEST(a_removed_source_is_not_called)
{
	struct loop_fd a = { .fd = -1, .fn = remove_other }, b = { .fd = -1, .fn = remove_other };
	struct loop *l;
	int fds[2], other;

	calls = 0;
	a.arg = &b;
	b.arg = &a;
	CHECK_INT(loop_new(0, &l), 0);
	CHECK_INT(pipe(fds), 0);
	other = dup(fds[0]);
	CHECK_INT(loop_add(l, &a, fds[0], EPOLLIN), 0);
	CHECK_INT(loop_add(l, &b, other, EPOLLIN), 0);
	CHECK_INT(write(fds[1], "x", 1), 1);
	CHECK_INT(loop_turn(l, LONG_TIME), 0);
	CHECK_INT(calls, 1);
	CHECK_INT(loop_turn(l, 0), 0);
	CHECK_INT(calls, 1);
	loop_free(l);
	close(fds[0]);
	close(fds[1]);
	close(other);
}

static unsigned order[64], norder;

static void note(struct loop_timer *t)
{
	order[norder++] = (unsigned)(size_t)t->arg;
	CHECK_INT(t->index, 0);
}

TEST(timers_run_in_order)
{
	struct loop_timer t[40] = { 0 };
	uint64_t now = loop_now();
	struct loop *l;

	norder = 0;
	CHECK_INT(loop_new(40, &l), 0);
	for (size_t i = 0; i < 40; i++) {
		t[i].fn = note;
		t[i].arg = (void *)((i * 7) % 40);
		CHECK_INT(loop_arm(l, &t[i], now - 1000000 + (i * 7) % 40), 0);
	}
	loop_disarm(l, &t[0]); /* 0 */
	loop_disarm(l, &t[0]);
	CHECK_INT(loop_arm(l, &t[1], now - 1), 0); /* 7 moves to the end */
	while (norder < 39 && loop_turn(l, LONG_TIME) == 0)
		;
	CHECK_INT(norder, 39);
	CHECK_INT(order[0], 1);
	CHECK_INT(order[5], 6);
	CHECK_INT(order[6], 8);
	CHECK_INT(order[37], 39);
	CHECK_INT(order[38], 7);
	loop_free(l);
}

/* Random arming and disarming against a sort. */
TEST(heap_like_a_model)
{
	static struct loop_timer t[60];
	unsigned seed = 7, armed = 0;
	uint64_t now = loop_now(), last = 0;
	struct loop *l;

	norder = 0;
	CHECK_INT(loop_new(0, &l), 0);
	for (int step = 0; step < 5000; step++) {
		struct loop_timer *x;

		seed = seed * 1103515245 + 12345;
		x = &t[(seed >> 8) % 60];
		x->fn = note;
		if (seed >> 29 & 1)
			loop_disarm(l, x);
		else
			CHECK_INT(loop_arm(l, x, now - 100000 + (seed >> 12) % 1000), 0);
	}
	for (size_t i = 0; i < 60; i++) {
		armed += t[i].index != 0;
		t[i].arg = (void *)(size_t)(t[i].when - (now - 100000));
	}
	while (norder < armed && loop_turn(l, LONG_TIME) == 0)
		;
	CHECK_INT(norder, armed);
	for (unsigned i = 0; i < norder; i++) {
		CHECK(order[i] >= last);
		last = order[i];
	}
	loop_free(l);
}

static struct loop *again_loop;

static void again(struct loop_timer *t)
{
	calls++;
	CHECK_INT(loop_arm(again_loop, t, 1), 0);
}

TEST(a_timer_in_the_past_does_not_stop_the_turn)
{
	struct loop_timer t = { .fn = again };

	calls = 0;
	CHECK_INT(loop_new(1, &again_loop), 0);
	CHECK_INT(loop_arm(again_loop, &t, 1), 0);
	CHECK_INT(loop_turn(again_loop, LONG_TIME), 0);
	CHECK_INT(calls, 1);
	CHECK_INT(loop_turn(again_loop, LONG_TIME), 0);
	CHECK_INT(calls, 2);
	loop_free(again_loop);
}

TEST(a_timer_waits)
{
	struct loop_timer t = { .fn = note };
	uint64_t start = loop_now();
	struct loop *l;

	norder = 0;
	CHECK_INT(loop_new(1, &l), 0);
	CHECK_INT(loop_arm(l, &t, start + 20000000), 0);
	while (norder == 0 && loop_turn(l, LONG_TIME) == 0)
		;
	CHECK(loop_now() >= start + 20000000);
	loop_free(l);
}

TEST(timer_limit)
{
	struct loop_timer a = { .fn = note }, b = { .fn = note };
	struct loop *l;

	CHECK_INT(loop_new(1, &l), 0);
	CHECK_INT(loop_arm(l, &a, 1), 0);
	CHECK_INT(loop_arm(l, &b, 1), -ERR_LIMIT);
	CHECK_INT(loop_arm(l, &a, 2), 0);
	loop_disarm(l, &a);
	CHECK_INT(loop_arm(l, &b, 1), 0);
	loop_free(l);
}

static void on_signal(struct loop *l, const void *info, void *arg)
{
	const struct signalfd_siginfo *si = info;

	*(unsigned *)arg = si->ssi_signo;
}

TEST(signals)
{
	struct loop *l;
	unsigned got = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_INT(loop_new(0, &l), 0);
	CHECK_INT(loop_signals(l, &set, on_signal, &got), 0);
	CHECK_INT(loop_signals(l, &set, on_signal, &got), -EEXIST);
	CHECK_INT(raise(SIGUSR1), 0);
	CHECK_INT(loop_turn(l, LONG_TIME), 0);
	CHECK_INT(got, SIGUSR1);
	loop_free(l);
}

TEST(no_memory)
{
	struct loop *l = NULL;

	mem_fail(1);
	CHECK_INT(loop_new(4, &l), -ENOMEM);
	mem_fail(2);
	CHECK_INT(loop_new(4, &l), -ENOMEM);
	mem_fail(0);
	CHECK(l == NULL);
}

TEST_MAIN(descriptors, a_removed_source_is_not_called, timers_run_in_order, heap_like_a_model,
	  a_timer_in_the_past_does_not_stop_the_turn, a_timer_waits, timer_limit, signals,
	  no_memory)
