/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/when.h"

#include <stdlib.h>
#include <time.h>

#include "tests/unit/test.h"

#define NOW 1769904000000ull /* 2026-02-01T00:00:00Z */

static uint64_t when(const char *text)
{
	uint64_t ms = 0;

	return when_parse(slice_of(text), NOW, &ms) < 0 ? 1 : ms;
}

TEST(dates)
{
	CHECK(when("2026-01-31T23:59:59.123Z") == NOW - 877);
	CHECK(when("2026-01-31T23:59:59Z") == NOW - 1000);
	CHECK(when("2026-01-31 23:59z") == NOW - 60000);
	CHECK(when("2026-02-01T02:00:00+02:00") == NOW);
	CHECK(when("2026-01-31T22:30:00.5-01:30") == NOW + 500);
	CHECK(when("2024-02-29T00:00Z") == 1709164800000ull);
}

TEST(local_time)
{
	CHECK(when("2026-02-01") == NOW - 3600000);
	CHECK(when("2026-02-01T01:00") == NOW);
	CHECK(when("2026-07-01 02:00") == 1782864000000ull); /* summer */
	CHECK(when("today") == NOW - 3600000);
	CHECK(when("yesterday") == NOW - 25 * 3600000ull);
	CHECK(when(" now ") == NOW);
}

TEST(spans)
{
	CHECK(when("10 minutes ago") == NOW - 600000);
	CHECK(when("1h 30min ago") == NOW - 5400000);
	CHECK(when("-2h") == NOW - 7200000);
	CHECK(when("1 week ago") == NOW - 604800000ull);
	CHECK(when("250ms ago") == NOW - 250);
	CHECK(when("1000000000 weeks ago") == 0);
}

TEST(neither)
{
	static const char *const rows[] = { "",
					    "soon",
					    "ago",
					    " ago",
					    "10 ago",
					    "minutes ago",
					    "10 fortnights ago",
					    "-",
					    "0s ago",
					    "2026",
					    "2026-1-31",
					    "2026-13-01",
					    "2026-00-01",
					    "2026-02-30",
					    "2025-02-29T00:00Z",
					    "2026-01-31T",
					    "2026-01-31T24:00",
					    "2026-01-31T23:60",
					    "2026-01-31T23:59:59.123ZZ",
					    "2026-01-31T23:59:59+2:00",
					    "2026-01-31T23:59:59+02:00x",
					    "2026-01-31x",
					    "99999999999999999999 days ago" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK(when(rows[i]) == 1);
}

__attribute__((constructor)) static void set_zone(void)
{
	(void)setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
}

TEST_MAIN(dates, local_time, spans, neither)
