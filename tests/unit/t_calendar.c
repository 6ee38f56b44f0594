/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Times of the calendar: what is read, and when the next one is, changes of the clock included. */
#include "init/calendar.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

/* The zone of central Europe, by rule: needs no file. */
#define CET "CET-1CEST,M3.5.0,M10.5.0/3"

static void zone(const char *tz)
{
	(void)setenv("TZ", tz, 1);
	tzset();
}

/* "2026-03-29 01:59:59" in UTC. */
static time_t utc(const char *text)
{
	struct tm tm = { 0 };

	if (!strptime(text, "%Y-%m-%d %H:%M:%S", &tm))
		TEST_FAIL("cannot read %s", text);
	return timegm(&tm);
}

static void next_is(const char *calendar, const char *after, const char *want)
{
	struct calendar c = { 0 };
	struct tm tm;
	char text[40] = "never";
	const char *bad = calendar_parse(slice_of(calendar), &c);

	if (bad) {
		TEST_FAIL("%s: %s", calendar, bad);
		return;
	}
	time_t t = calendar_next(&c, utc(after));
	if (t && gmtime_r(&t, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	if (strcmp(text, want) != 0)
		TEST_FAIL("%s after %s: %s, expected %s", calendar, after, text, want);
}

TEST(fields)
{
	zone("UTC0");
	next_is("hourly", "2026-01-01 00:00:00", "2026-01-01 01:00:00");
	next_is("daily", "2026-01-01 00:00:00", "2026-01-02 00:00:00");
	next_is("weekly", "2026-01-01 00:00:00", "2026-01-05 00:00:00");
	next_is("monthly", "2026-01-01 00:00:00", "2026-02-01 00:00:00");
	next_is("yearly", "2026-01-01 00:00:00", "2027-01-01 00:00:00");
	next_is("3:30", "2026-01-01 03:29:59", "2026-01-01 03:30:00");
	next_is("3:30", "2026-01-01 03:30:00", "2026-01-02 03:30:00");
	next_is("*:0/15", "2026-01-01 23:46:00", "2026-01-02 00:00:00");
	next_is("*:5,7..9", "2026-01-01 10:07:00", "2026-01-01 10:08:00");
	next_is("8..18/5:0", "2026-01-01 08:00:00", "2026-01-01 13:00:00");
	next_is("*:*:20/20", "2026-01-01 00:00:41", "2026-01-01 00:01:20");
	next_is("Mon..Fri 9:00", "2026-01-02 09:00:00", "2026-01-05 09:00:00");
	next_is("Sat,Sun 9:00", "2026-01-02 09:00:00", "2026-01-03 09:00:00");
	next_is("Fri..Mon 9:00", "2026-01-05 09:00:00", "2026-01-09 09:00:00");
	next_is("12-24..26 18:00", "2026-01-01 00:00:00", "2026-12-24 18:00:00");
	next_is("*-*-31 0:00", "2026-01-31 00:00:00", "2026-03-31 00:00:00");
	next_is("2-29 12:00", "2025-01-01 00:00:00", "2028-02-29 12:00:00");
	next_is("Fri *-13 0:00", "2026-01-01 00:00:00", "2026-02-13 00:00:00");
	next_is("23:59:59", "2026-12-31 23:59:59", "2027-01-01 23:59:59");
}

TEST(refused)
{
	static const char *const rows[] = {
		"",	   "x",	    "24:00",	"1:60",		"1:2:60",	   "1",
		"1:",	   ":1",    "Mod 1:00", "2-30 1:00",	"13-1 1:00",	   "0-1 1:00",
		"5..3:00", "1:0/0", "1:2,,3",	"1-1 Mon 1:00", "Mon 1-1 2:0 3:0", "*-*-* 1:00x",
		"1..:00",  "-1:00"
	};
	struct calendar c;

	zone("UTC0");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!calendar_parse(slice_of(rows[i]), &c))
			TEST_FAIL("accepted: %s", rows[i]);
}

/* 2026: 29 March 02:00 CET becomes 03:00 CEST; 25 October 03:00 CEST becomes 02:00 CET. */
TEST(summer_begins)
{
	zone(CET);
	next_is("2:30", "2026-03-28 01:30:00", "2026-03-29 01:00:00"); /* left out: at once after */
	next_is("2:30", "2026-03-29 01:00:00", "2026-03-30 00:30:00"); /* and once */
	next_is("3:00", "2026-03-28 02:00:00", "2026-03-29 01:00:00");
	next_is("*:30", "2026-03-29 00:30:00", "2026-03-29 01:30:00"); /* 3:30 */
	next_is("Sun 2:30", "2026-03-23 00:00:00", "2026-03-29 01:00:00");
	next_is("Mon 2:30", "2026-03-24 00:00:00", "2026-03-30 00:30:00");
}

TEST(summer_ends)
{
	zone(CET);
	next_is("2:30", "2026-10-24 00:30:00", "2026-10-25 00:30:00"); /* the first of the two */
	next_is("2:30", "2026-10-25 00:30:00", "2026-10-26 01:30:00");
	next_is("2:30", "2026-10-25 01:15:00", "2026-10-26 01:30:00"); /* between them */
	next_is("*:30", "2026-10-25 00:30:00",
		"2026-10-25 01:30:00"); /* every hour is every hour */
	next_is("3:00", "2026-10-25 00:00:00", "2026-10-25 02:00:00");
}

TEST(midnight_is_left_out)
{
	zone("XXT4XXS,M9.1.6/24,M4.1.6/24"); /* Chile: Saturday 24:00 becomes 01:00 */
	next_is("0:00", "2026-09-05 04:00:00", "2026-09-06 04:00:00");
	next_is("9-6 0:15", "2026-01-01 00:00:00", "2026-09-06 04:00:00");
}

TEST(absurd_clock)
{
	struct calendar c;

	zone("UTC0");
	CHECK(!calendar_parse(slice_of("daily"), &c));
	CHECK_INT(calendar_next(&c, 0), 86400);
	CHECK_INT(calendar_next(&c, -86400 * 3), -86400 * 2);
}

TEST_MAIN(fields, refused, summer_begins, summer_ends, midnight_is_left_out, absurd_clock)
