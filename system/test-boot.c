/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/test-boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/text.h"

#define SECOND		  1000000000ull
#define CALM		  (3 * SECOND) /* a service that dies at once waits less until it is started again */
#define CONTAINER_SECONDS 120
#define VM_SECONDS	  600 /* the processor may be emulated */
#define TEST_MAX	  (24ull * 3600)
#define TAIL_LINES	  10
#define TAIL_BYTES	  65536 /* read of the end of a log */
#define KEPT_BYTES	  (1 << 20)

int test_boot_parse(const char *kind, const char *timeout, struct test_boot *ret, struct err *e)
{
	uint64_t ns = 0;

	if (timeout && !kind)
		return cmd_usage(e, "--test-timeout goes with --test");
	if (!kind)
		return 0;
	if (strcmp(kind, "container") == 0)
		ret->kind = TEST_CONTAINER;
	else if (strcmp(kind, "vm") == 0)
		ret->kind = TEST_VM;
	else
		return cmd_usage(e, "--test: '%s' is neither container nor vm", kind);
	if (timeout &&
	    (text_duration(slice_of(timeout), &ns) < 0 || ns < SECOND || ns > TEST_MAX * SECOND))
		return cmd_usage(e,
				 "--test-timeout: '%s' is not a time such as 90 or 5min, a day at "
				 "most",
				 timeout);
	ret->seconds = ns			     ? ns / SECOND
		       : ret->kind == TEST_CONTAINER ? CONTAINER_SECONDS
						     : VM_SECONDS;
	return 0;
}

int test_boot_check(const struct test_boot *t, struct err *e)
{
	if (t->kind == TEST_NONE)
		return 0;
	return t->kind == TEST_VM ? test_vm_check(e) : test_container_check(e);
}

int test_boot_run(const struct test_boot *t, const struct sys_root *r, const char *system,
		  struct err *e)
{
	int rc;

	if (t->kind == TEST_NONE)
		return 0;
	fprintf(stderr, "starting the system in a %s, for at most %llu s\n",
		t->kind == TEST_VM ? "virtual machine" : "container",
		(unsigned long long)t->seconds);
	rc = t->kind == TEST_VM ? test_vm_run(t, system, e) : test_container_run(t, r, system, e);
	if (rc == 0)
		fprintf(stderr, "it came up well there\n");
	return rc;
}

/* ---- What PID 1 says there ------------------------------------------------------------------- */

uint64_t test_watch_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void test_watch_init(struct test_watch *w, const char *where, uint64_t seconds)
{
	*w = (struct test_watch){ .where = where,
				  .until = test_watch_now() + seconds * SECOND,
				  .waiting = STR_INIT,
				  .failed = VEC_INIT,
				  .arena = ARENA_INIT };
}

void test_watch_done(struct test_watch *w)
{
	str_done(&w->waiting);
	vec_done(&w->failed);
	arena_done(&w->arena);
}

/* Value of KEY in a row, as it stands there; text without its quotes. Quotes inside of strings are
 * escaped, so keys are found nowhere else. */
static struct slice value(struct slice row, const char *key)
{
	char name[32];
	int n = snprintf(name, sizeof(name), "\"%s\":", key);
	const char *at = memmem(row.p, row.n, name, (size_t)n), *end = row.p + row.n, *p;

	if (!at)
		return (struct slice){ "", 0 };
	at += n;
	p = at;
	if (p < end && *p == '"') {
		for (p = ++at; p < end && *p != '"'; p++)
			if (*p == '\\')
				p++;
	} else {
		while (p < end && *p != ',' && *p != '}')
			p++;
	}
	return (struct slice){ at, (size_t)((p < end ? p : end) - at) };
}

static bool is_true(struct slice row, const char *key)
{
	return slice_is(value(row, key), "true");
}

static void note_failed(struct test_watch *w, struct slice row)
{
	struct test_service *s = ARENA_NEW(&w->arena, struct test_service);

	if (!s)
		return;
	*s = (struct test_service){ arena_slice(&w->arena, value(row, "name")),
				    arena_slice(&w->arena, value(row, "why")),
				    arena_slice(&w->arena, value(row, "log")) };
	if (s->name && s->why && s->log)
		vec_add(&w->failed, s);
}

static bool is_up(struct slice row)
{
	struct slice state = value(row, "state");

	return slice_is(state, "up") || slice_is(state, "done") || is_true(row, "listening") ||
	       !is_true(row, "wanted");
}

enum test_state test_watch_see(struct test_watch *w, struct slice rows, uint64_t now)
{
	uint64_t restarts = 0, n = 0, one;
	struct slice row, name, why;

	str_cut(&w->waiting, 0);
	while (rows.n && slice_cut(&rows, '\n', &row)) {
		name = value(row, "name");
		if (!name.n)
			continue;
		n++;
		if (text_u64(value(row, "restarts"), UINT64_MAX, &one) == 0)
			restarts += one;
		if (slice_is(value(row, "state"), "failed"))
			note_failed(w, row);
		if (is_up(row))
			continue;
		why = value(row, "why");
		str_addf(&w->waiting, "%s%.*s is %.*s%s%.*s", w->waiting.len ? ", " : "",
			 (int)name.n, name.p, (int)value(row, "state").n, value(row, "state").p,
			 why.n ? ": " : "", (int)why.n, why.p);
	}
	if (w->failed.n)
		return TEST_FAILED;
	if (!n || w->waiting.len || restarts != w->restarts)
		w->calm = 0;
	else if (!w->calm)
		w->calm = now;
	w->restarts = restarts;
	return w->calm && now - w->calm >= CALM ? TEST_HEALTHY : TEST_WAITS;
}

void test_watch_forget(struct test_watch *w)
{
	str_cut(&w->waiting, 0);
	w->calm = 0;
}

void test_show_tail(struct slice text)
{
	auto_str struct str out = STR_INIT;
	struct slice line;
	size_t at = text.n, lines = 0;

	while (at > 0 && (text.p[at - 1] == '\n'))
		at--;
	text.n = at;
	while (at > 0 && !(text.p[at - 1] == '\n' && ++lines == TAIL_LINES))
		at--;
	text = (struct slice){ text.p + at, text.n - at };
	while (text.n && slice_cut(&text, '\n', &line)) {
		str_add(&out, "  | ");
		text_safe(&out, line);
		str_addc(&out, '\n');
	}
	if (!str_err(&out))
		fputs(out.buf, stderr);
}

void test_show_end(int fd)
{
	auto_str struct str text = STR_INIT;
	struct stat st;
	off_t at;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	at = st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0;
	char *room = str_room(&text, TAIL_BYTES);
	ssize_t n = room ? pread(fd, room, TAIL_BYTES, at) : -1;
	if (n <= 0)
		return;
	str_grown(&text, (size_t)n);
	test_show_tail(str_slice(&text));
}

void test_keep_end(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && st.st_size > KEPT_BYTES)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				st.st_size - KEPT_BYTES);
}

int test_watch_fail(const struct test_watch *w, struct err *e)
{
	auto_str struct str out = STR_INIT;
	int rc;

	for (size_t i = 0; i < w->failed.n; i++) {
		const struct test_service *s = w->failed.v[i];

		str_addf(&out, "%s%s%s%s", i ? "; " : "", s->name, s->why[0] ? ": " : "", s->why);
	}
	if (w->failed.n)
		rc = err_set(e, -ERR_UNHEALTHY, "services failed in %s: %s", w->where,
			     str_err(&out) ? "" : out.buf);
	else
		rc = err_set(e, -ERR_UNHEALTHY, "services are not up in %s in time: %s", w->where,
			     w->waiting.len ? w->waiting.buf : "PID 1 does not answer");
	return err_hint(e, rc, "nothing was switched");
}
