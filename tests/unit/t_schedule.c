/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a timed service runs next, with clocks that are numbers. */
#include "init/schedule.h"

#include <stdlib.h>

#include "tests/unit/test.h"

#define SECOND 1000000000ll
#define NOON   (1700000000ll / 86400 * 86400 + 12 * 3600)
#define HOUR   3600ll
#define UP     (50 * SECOND)

static struct svc_def d;
static struct calendar noon;

/* Wall clock at seconds, machine up for 100 s. */
static struct schedule at(int64_t wall)
{
	(void)setenv("TZ", "UTC0", 1);
	tzset();
	(void)calendar_parse(slice_of("12:00"), &noon);
	return (struct schedule){ .wall = wall * SECOND, .boot = 100 * SECOND, .up = UP };
}

/* Seconds from now; -1: never. */
static int64_t wait_of(const struct schedule *s)
{
	int64_t planned;
	uint64_t due = schedule_next(&d, s, &planned);

	return due ? (int64_t)(due - s->boot) / SECOND : -1;
}

TEST(interval)
{
	struct schedule s = at(NOON);

	d = (struct svc_def){ .every = 600 * SECOND, .first_run = 70 * SECOND };
	CHECK_INT(wait_of(&s), 20);
	d.first_run = 10 * SECOND;
	CHECK_INT(wait_of(&s), 0); /* late is now */
	s.since = 90 * SECOND;
	CHECK_INT(wait_of(&s), 590);
	/* It ran over two of its times: they are left out, and the rhythm stays. */
	s.boot = (90 + 1300) * SECOND;
	CHECK_INT(wait_of(&s), 500);
	s.boot = (90 + 1200) * SECOND;
	CHECK_INT(wait_of(&s), 0);
}

TEST(interval_over_boots)
{
	struct schedule s = at(NOON);

	d = (struct svc_def){ .every = 3600 * SECOND, .first_run = 3600 * SECOND };
	s.last = NOON - 7 * HOUR;
	CHECK_INT(wait_of(&s), 3550);
	d.catch_up = true;
	CHECK_INT(wait_of(&s), 0);
	s.last = NOON - 600;
	CHECK_INT(wait_of(&s), 3000);
	s.last = NOON + 365 * 24 * HOUR; /* nonsense of a wrong clock */
	CHECK_INT(wait_of(&s), 3550);
}

TEST(calendar)
{
	struct schedule s = at(NOON - 30);
	struct calendar two[2];
	int64_t planned;

	d = (struct svc_def){ .calendars = &noon, .ncalendars = 1 };
	CHECK_INT(wait_of(&s), 30);
	s.wall += SECOND / 2; /* not half a second late */
	CHECK(schedule_next(&d, &s, &planned) == s.boot + 59 * (uint64_t)SECOND / 2);
	CHECK_INT(planned, NOON);
	two[0] = noon;
	CHECK(!calendar_parse(slice_of("11:59:50"), &two[1]));
	d = (struct svc_def){ .calendars = two, .ncalendars = 2 };
	s.wall = (NOON - 30) * SECOND;
	CHECK_INT(wait_of(&s), 20);
	d.every = 1;
	d.first_run = 55 * (uint64_t)SECOND; /* the earlier of both kinds */
	CHECK_INT(wait_of(&s), 5);
	CHECK((schedule_next(&d, &s, &planned), planned) == 0);
}

TEST(missed)
{
	struct schedule s = at(NOON + 600);

	d = (struct svc_def){ .calendars = &noon, .ncalendars = 1 };
	s.last = NOON - 24 * HOUR;
	CHECK_INT(wait_of(&s), 24 * HOUR - 600);
	d.catch_up = true;
	CHECK_INT(wait_of(&s), 0);
	s.last = NOON - 240 * HOUR; /* ten of them: made up for once */
	CHECK_INT(wait_of(&s), 0);
	s.last = NOON + 600;
	CHECK_INT(wait_of(&s), 24 * HOUR - 600);
}

TEST(clock_is_set)
{
	struct schedule s = at(NOON + 60);

	d = (struct svc_def){ .calendars = &noon, .ncalendars = 1 };
	s.planned = NOON;
	CHECK_INT(wait_of(&s), 0); /* it went over the time */
	s = at(NOON + 24 * HOUR * 900 + 60);
	s.planned = NOON; /* it was wrong by years */
	CHECK_INT(wait_of(&s), 24 * HOUR - 60);
	s = at(NOON - 60);
	s.last = NOON; /* ran, then set back: not again */
	CHECK_INT(wait_of(&s), 24 * HOUR + 60);
	s = at(NOON - 60);
	s.last = NOON + 24 * HOUR * 5000; /* the last run was in a wrong year */
	CHECK_INT(wait_of(&s), 60);
}

TEST(random)
{
	struct schedule s = at(NOON - 30);

	d = (struct svc_def){ .calendars = &noon, .ncalendars = 1, .random_delay = 60 * SECOND };
	for (s.random = 0; s.random < 300ull * SECOND; s.random += 7 * SECOND)
		CHECK(wait_of(&s) >= 30 && wait_of(&s) < 90);
	s.random = 60 * SECOND - 1;
	CHECK_INT(wait_of(&s), 89);
	d = (struct svc_def){ .random_delay = 60 };
	CHECK_INT(wait_of(&s), -1);
}

TEST_MAIN(interval, interval_over_boots, calendar, missed, clock_is_set, random)
