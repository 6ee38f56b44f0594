/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Times of the calendar as bit tables: which months, days, hours, minutes and seconds. Local time
 * by the time zone of the process. Touches nothing but the clock's time zone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "lib/slice.h"

struct calendar {
	uint64_t seconds, minutes; /* bit n: n */
	uint32_t hours, days;	   /* of the day, of the month (1…31) */
	uint16_t months;	   /* bit 0: January */
	uint8_t weekdays;	   /* bit 0: Sunday */
};

/*
 * "[WEEKDAYS] [[*-]MONTH-DAY] HOUR:MINUTE[:SECOND]", or hourly daily weekly monthly yearly. A field
 * is "*", or numbers and ranges "1..5" with commas, each perhaps with a step: "0/15", "*" "/5",
 * "8..18/2". NULL, or what is wrong with it.
 */
const char *calendar_parse(struct slice text, struct calendar *ret);

/*
 * The first such moment after that one, as seconds of CLOCK_REALTIME; 0: there is none within ten
 * years. A time that a change of the clock leaves out counts as the first moment after it; one that
 * comes twice counts once, unless every hour is meant.
 */
time_t calendar_next(const struct calendar *c, time_t after);
