/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Event loop: one epoll, one signalfd, one timerfd with a heap. Level-triggered. One turn is wait,
 * then dispatch; a source removed during dispatch is not called again and its memory is not touched
 * by the loop afterwards (the caller owns the source objects).
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct loop_fd;
struct loop_timer;

typedef void loop_fd_fn(struct loop_fd *src, uint32_t events);
typedef void loop_timer_fn(struct loop_timer *src);
typedef void loop_signal_fn(struct loop *l, const void *signalfd_siginfo, void *arg);

struct loop_fd {
	int fd; /* borrowed; -1 while not registered */
	uint32_t events;
	loop_fd_fn *fn;
	void *arg;
	struct loop *loop; /* set while registered */
};

struct loop_timer {
	uint64_t when; /* CLOCK_BOOTTIME nanoseconds; 0 while unarmed */
	size_t index;  /* heap position + 1; 0 while unarmed */
	loop_timer_fn *fn;
	void *arg;
};

/* max_timers > 0 allocates the heap once and refuses more (-ERR_LIMIT); 0 lets it grow. */
int loop_new(size_t max_timers, struct loop **ret);
void loop_free(struct loop *l);
int loop_add(struct loop *l, struct loop_fd *src, int fd, uint32_t events);
int loop_mod(struct loop_fd *src, uint32_t events);
void loop_del(struct loop_fd *src);
int loop_arm(struct loop *l, struct loop_timer *t, uint64_t when);
void loop_disarm(struct loop *l, struct loop_timer *t);
/* Block the signals of set and deliver them to fn in dispatch. Once per loop. */
int loop_signals(struct loop *l, const sigset_t *set, loop_signal_fn *fn, void *arg);
/* One turn; timeout in nanoseconds, UINT64_MAX waits without end. 0 or -errno. */
int loop_turn(struct loop *l, uint64_t timeout);
uint64_t loop_now(void); /* CLOCK_BOOTTIME, nanoseconds */
