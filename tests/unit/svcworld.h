/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state machine of PID 1 in a fake world: time stands until it is moved, processes are numbers.
 * Included once by each test program of the machine. */
#pragma once

#include "init/svc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "lib/str.h"
#include "tests/unit/test.h"

#define MS     1000000ull
#define SECOND 1000000000ull

static struct svc_mgr m;
static uint64_t now = SECOND, timers[LIMIT_SVC_COUNT];
static pid_t next_pid;
static char events[2000];
static bool fail_launch, stubborn, left_over;

static void note(const char *what, const char *name)
{
	size_t n = strlen(events);

	snprintf(events + n, sizeof(events) - n, "%s%s%s", n ? " " : "", what, name);
}

static uint64_t f_now(void)
{
	return now;
}

static void f_timer(struct svc *s, uint64_t when)
{
	timers[s->index] = when;
}

static int f_launch(struct svc *s)
{
	note("+", s->name);
	if (fail_launch) {
		snprintf(s->why, sizeof(s->why), "exec: no");
		return -ENOENT;
	}
	s->pid = ++next_pid;
	return 0;
}

static int f_aux(struct svc *s, const char *const *argv)
{
	note("!", s->name);
	s->aux = ++next_pid;
	return 0;
}

static void f_kill_aux(struct svc *s)
{
	note("k", s->name);
}

static void f_signal(struct svc *s, unsigned sig)
{
	note(sig == SIGHUP ? "h" : "-", s->name);
}

static void f_kill(struct svc *s)
{
	note("x", s->name);
	if (!stubborn)
		left_over = false;
}

static bool f_left_over(struct svc *s)
{
	return left_over;
}

static int f_adopt(struct svc *s)
{
	return -EAGAIN;
}

static int f_sockets(struct svc *s)
{
	return 0;
}

static void f_listen(struct svc *s, bool on)
{
	s->listening = on;
}

static bool f_condition(struct svc *s)
{
	return s->def->conditions.n == 0;
}

static uint64_t next_run;

static uint64_t f_next_run(struct svc *s)
{
	return next_run;
}

static void f_run_begins(struct svc *s)
{
	note("*", s->name);
}

static void f_gone(struct svc *s)
{
}

static void f_changed(struct svc *s, enum svc_state old)
{
}

static const struct svc_ops ops = { f_now,	f_timer,      f_launch, f_aux,
				    f_kill_aux, f_signal,     f_kill,	f_left_over,
				    f_adopt,	f_sockets,    f_listen, f_condition,
				    f_next_run, f_run_begins, f_gone,	f_changed };

__attribute__((unused)) static struct svc_set *parse(const char *text)
{
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	if (svc_set_parse(slice_of(text), "f", &set, &e) < 0)
		TEST_FAIL("%s", e.msg);
	return set;
}

__attribute__((unused)) static void begin(const char *text)
{
	struct svc_set *set = parse(text);

	events[0] = '\0';
	fail_launch = stubborn = left_over = false;
	next_pid = 100;
	now += 1000 * SECOND;
	memset(timers, 0, sizeof(timers));
	CHECK_INT(svc_mgr_init(&m, set, &ops), 0);
	svc_settle(&m);
}

__attribute__((unused)) static struct svc *get(const char *name)
{
	return svc_mgr_find(&m, slice_of(name));
}

__attribute__((unused)) static void dies(const char *name, int status)
{
	struct svc *s = get(name);

	s->pid = -1;
	svc_exited(&m, s, status);
	svc_settle(&m);
}

/* Move the time to the timer of name and fire it. */
__attribute__((unused)) static uint64_t fire(const char *name)
{
	struct svc *s = get(name);
	uint64_t waited = timers[s->index] - now;

	if (!timers[s->index]) {
		TEST_FAIL("%s has no timer", name);
		return 0;
	}
	now = timers[s->index];
	timers[s->index] = 0;
	svc_timeout(&m, s);
	svc_settle(&m);
	return waited;
}

#define EVENTS(want)                                                                               \
	do {                                                                                       \
		CHECK_STR(events, want);                                                           \
		events[0] = '\0';                                                                  \
	} while (0)
#define STATE(name, want) CHECK_STR(svc_state_names[get(name)->state], want)

#define EXIT(code) ((code) << 8)
#define KILLED	   9
#define TERMED	   15
