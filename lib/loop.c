/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/loop.h"

#include <errno.h>
#include <limits.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "lib/err.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/size.h"

#define BATCH 32

struct loop {
	int epoll, timerfd, signalfd;
	struct loop_fd timer_src, signal_src;
	loop_signal_fn *signal_fn;
	void *signal_arg;
	struct loop_timer **heap; /* owned array of borrowed timers, earliest first */
	size_t ntimers, cap, max_timers;
	uint64_t armed; /* what the timerfd is set to; 0: nothing */
	struct epoll_event batch[BATCH];
	int nbatch; /* events being dispatched */
	bool timers_due;
};

uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- Descriptors -------------------------------------------------------------------------------
 */

int loop_add(struct loop *l, struct loop_fd *src, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	src->fd = fd;
	src->events = events;
	src->loop = l;
	return 0;
}

int loop_mod(struct loop_fd *src, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	if (!src->loop)
		return -EINVAL;
	if (src->events == events)
		return 0;
	if (epoll_ctl(src->loop->epoll, EPOLL_CTL_MOD, src->fd, &ev) < 0)
		return -errno;
	src->events = events;
	return 0;
}

void loop_del(struct loop_fd *src)
{
	struct loop *l = src->loop;

	if (!l)
		return;
	/* Fails only when the caller closed fd first; then the kernel has removed it. */
	(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, src->fd, NULL);
	for (int i = 0; i < l->nbatch; i++)
		if (l->batch[i].data.ptr == src)
			l->batch[i].data.ptr = NULL;
	src->fd = -1;
	src->loop = NULL;
}

/* ---- Timers ------------------------------------------------------------------------------------
 */

static void heap_set(struct loop *l, size_t i, struct loop_timer *t)
{
	l->heap[i] = t;
	t->index = i + 1;
}

static void sift_up(struct loop *l, size_t i, struct loop_timer *t)
{
	for (; i > 0 && t->when < l->heap[(i - 1) / 2]->when; i = (i - 1) / 2)
		heap_set(l, i, l->heap[(i - 1) / 2]);
	heap_set(l, i, t);
}

static void sift_down(struct loop *l, size_t i, struct loop_timer *t)
{
	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid >= l->ntimers)
			break;
		if (kid + 1 < l->ntimers && l->heap[kid + 1]->when < l->heap[kid]->when)
			kid++;
		if (l->heap[kid]->when >= t->when)
			break;
		heap_set(l, i, l->heap[kid]);
		i = kid;
	}
	heap_set(l, i, t);
}

static int heap_reserve(struct loop *l)
{
	struct loop_timer **heap;
	size_t cap = l->cap ? l->cap * 2 : 8, bytes;

	if (l->ntimers < l->cap)
		return 0;
	if (l->max_timers)
		return -ERR_LIMIT;
	if (!size_mul(cap, sizeof(*heap), &bytes))
		return -ENOMEM;
	heap = mem_realloc(l->heap, bytes);
	if (!heap)
		return -ENOMEM;
	l->heap = heap;
	l->cap = cap;
	return 0;
}

int loop_arm(struct loop *l, struct loop_timer *t, uint64_t when)
{
	int r;

	if (t->index) {
		loop_disarm(l, t);
	} else {
		r = heap_reserve(l);
		if (r < 0)
			return r;
	}
	t->when = when ? when : 1; /* 0 means unarmed */
	sift_up(l, l->ntimers++, t);
	return 0;
}

void loop_disarm(struct loop *l, struct loop_timer *t)
{
	struct loop_timer *last;
	size_t i;

	if (!t->index)
		return;
	i = t->index - 1;
	last = l->heap[--l->ntimers];
	t->index = 0;
	t->when = 0;
	if (last == t)
		return;
	if (i > 0 && last->when < l->heap[(i - 1) / 2]->when)
		sift_up(l, i, last);
	else
		sift_down(l, i, last);
}

/* Set the timerfd to the earliest timer, when that changed since the last turn. */
static int set_timerfd(struct loop *l)
{
	uint64_t when = l->ntimers ? l->heap[0]->when : 0;
	struct itimerspec spec = { .it_value = { .tv_sec = (time_t)(when / 1000000000),
						 .tv_nsec = (long)(when % 1000000000) } };

	if (when == l->armed)
		return 0;
	if (timerfd_settime(l->timerfd, TFD_TIMER_ABSTIME, &spec, NULL) < 0)
		return -errno;
	l->armed = when;
	return 0;
}

static void timer_ready(struct loop_fd *src, uint32_t events)
{
	struct loop *l = src->arg;
	uint64_t count;

	(void)fd_read_some(src->fd, &count, sizeof(count)); /* only quietens the descriptor */
	l->armed = 0;
	l->timers_due = true;
}

/* Timers that a handler arms for the past wait for the next turn at the latest. */
static void run_timers(struct loop *l)
{
	uint64_t now = loop_now();
	size_t budget = l->ntimers;

	while (budget-- && l->ntimers && l->heap[0]->when <= now) {
		struct loop_timer *t = l->heap[0];

		loop_disarm(l, t);
		t->fn(t);
	}
}

/* ---- Signals -----------------------------------------------------------------------------------
 */

static void signal_ready(struct loop_fd *src, uint32_t events)
{
	struct loop *l = src->arg;
	struct signalfd_siginfo info;

	while (fd_read_some(src->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		l->signal_fn(l, &info, l->signal_arg);
}

int loop_signals(struct loop *l, const sigset_t *set, loop_signal_fn *fn, void *arg)
{
	int r;

	if (l->signalfd >= 0)
		return -EEXIST;
	if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
		return -errno;
	l->signalfd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signalfd < 0)
		return -errno;
	l->signal_fn = fn;
	l->signal_arg = arg;
	r = loop_add(l, &l->signal_src, l->signalfd, EPOLLIN);
	if (r < 0)
		fd_close(&l->signalfd);
	return r;
}

/* ---- The loop ----------------------------------------------------------------------------------
 */

static int set_up(struct loop *l)
{
	size_t bytes;

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return -errno;
	l->timerfd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->timerfd < 0)
		return -errno;
	if (l->max_timers) {
		l->heap = size_mul(l->max_timers, sizeof(*l->heap), &bytes) ? mem_zalloc(bytes)
									    : NULL;
		if (!l->heap)
			return -ENOMEM;
		l->cap = l->max_timers;
	}
	return loop_add(l, &l->timer_src, l->timerfd, EPOLLIN);
}

int loop_new(size_t max_timers, struct loop **ret)
{
	struct loop *l = mem_zalloc(sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->epoll = l->timerfd = l->signalfd = -1;
	l->max_timers = max_timers;
	l->timer_src = (struct loop_fd){ .fd = -1, .fn = timer_ready, .arg = l };
	l->signal_src = (struct loop_fd){ .fd = -1, .fn = signal_ready, .arg = l };
	r = set_up(l);
	if (r < 0) {
		loop_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	fd_close(&l->epoll);
	fd_close(&l->timerfd);
	fd_close(&l->signalfd);
	free(l->heap);
	free(l);
}

static int timeout_ms(uint64_t timeout)
{
	if (timeout == UINT64_MAX)
		return -1;
	timeout = timeout / 1000000 + (timeout % 1000000 != 0);
	return timeout > INT_MAX ? INT_MAX : (int)timeout;
}

int loop_turn(struct loop *l, uint64_t timeout)
{
	int n, r = set_timerfd(l);

	if (r < 0)
		return r;
	n = epoll_wait(l->epoll, l->batch, BATCH, timeout_ms(timeout));
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	l->nbatch = n;
	for (int i = 0; i < n; i++) {
		struct loop_fd *src = l->batch[i].data.ptr;

		if (src)
			src->fn(src, l->batch[i].events);
	}
	l->nbatch = 0;
	if (l->timers_due) {
		l->timers_due = false;
		run_timers(l);
	}
	return 0;
}
