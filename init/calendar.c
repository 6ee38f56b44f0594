/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/calendar.h"

#include <string.h>

#include "lib/size.h"
#include "lib/text.h"

#define ALL_HOURS ((1u << 24) - 1)
#define HOUR	  3600
#define TEN_YEARS (3660ll * 24 * HOUR)

static const char *const weekday_names[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

/* ---- reading ---------------------------------------------------------------------------------*/

typedef bool number_fn(struct slice text, uint64_t max, uint64_t *ret);

static bool read_number(struct slice text, uint64_t max, uint64_t *ret)
{
	return text_u64(text, max, ret) == 0;
}

static bool read_weekday(struct slice text, uint64_t max, uint64_t *ret)
{
	for (*ret = 0; *ret <= max; (*ret)++)
		if (slice_is(text, weekday_names[*ret]))
			return true;
	return false;
}

static const char *find_dots(struct slice s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.p[i] == '.' && s.p[i + 1] == '.')
			return s.p + i;
	return NULL;
}

static bool read_item(struct slice item, uint64_t min, uint64_t max, number_fn *number,
		      uint64_t *bits)
{
	struct slice range, first;
	uint64_t from = min, to = max, step = 1;

	slice_cut(&item, '/', &range);
	if (item.p && (text_u64(item, max, &step) < 0 || step == 0))
		return false;
	if (!slice_is(range, "*")) {
		const char *dots = find_dots(range);
		first = dots ? (struct slice){ range.p, (size_t)(dots - range.p) } : range;
		if (!number(first, max, &from) || from < min)
			return false;
		if (!dots && !item.p)
			to = from;
		if (dots && !number((struct slice){ dots + 2, range.n - first.n - 2 }, max, &to))
			return false;
	}
	/* "Fri..Mon" goes round; of numbers that would be a mistake. */
	if (from > to && number == read_number)
		return false;
	for (uint64_t i = from, n = from > to ? to + max + 1 - from : to - from, k = 0; k <= n;
	     k += step, i += step)
		*bits |= 1ull << (i > max ? i - max - 1 : i);
	return true;
}

static bool read_field(struct slice text, uint64_t min, uint64_t max, number_fn *number,
		       uint64_t *ret)
{
	struct slice item;

	*ret = 0;
	while (slice_cut(&text, ',', &item))
		if (item.n == 0 || !read_item(item, min, max, number, ret))
			return false;
	return *ret != 0;
}

static bool read_clock(struct slice text, struct calendar *c)
{
	struct slice hour, minute;
	uint64_t hours = 0;

	c->seconds = 1;
	if (!slice_cut(&text, ':', &hour) || !text.p || !slice_cut(&text, ':', &minute))
		return false;
	if (text.p && !read_field(text, 0, 59, read_number, &c->seconds))
		return false;
	if (!read_field(hour, 0, 23, read_number, &hours) ||
	    !read_field(minute, 0, 59, read_number, &c->minutes))
		return false;
	c->hours = (uint32_t)hours;
	return true;
}

static bool read_date(struct slice text, struct calendar *c)
{
	struct slice month;
	uint64_t months = 0, days = 0;

	if (slice_starts(text, "*-") && memchr(text.p + 2, '-', text.n - 2))
		text = (struct slice){ text.p + 2, text.n - 2 };
	if (!slice_cut(&text, '-', &month) || !text.p)
		return false;
	if (!read_field(month, 1, 12, read_number, &months) ||
	    !read_field(text, 1, 31, read_number, &days))
		return false;
	c->months = (uint16_t)(months >> 1);
	c->days = (uint32_t)days;
	return true;
}

static struct slice shorthand(struct slice text)
{
	static const char *const words[][2] = {
		{ "hourly", "*:0" },	  { "daily", "0:0" },	   { "weekly", "Mon 0:0" },
		{ "monthly", "*-1 0:0" }, { "yearly", "1-1 0:0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(text, words[i][0]))
			return slice_of(words[i][1]);
	return text;
}

const char *calendar_parse(struct slice text, struct calendar *ret)
{
	struct calendar c = { .months = 0xfff, .days = ~1u, .weekdays = 0x7f };
	struct slice rest = shorthand(slice_trim(text)), word = { 0 }, words[3];
	uint64_t weekdays = 0;
	size_t n = 0, k = 0;

	while (slice_cut(&rest, ' ', &word)) {
		if (word.n == 0)
			continue;
		if (n == 3)
			return "more than weekday, date and time";
		words[n++] = word;
	}
	if (n == 0 || !read_clock(words[n - 1], &c))
		return "expected a time HOUR:MINUTE[:SECOND]";
	if (k + 1 < n && read_field(words[k], 0, 6, read_weekday, &weekdays)) {
		c.weekdays = (uint8_t)weekdays;
		k++;
	}
	if (k + 1 < n && read_date(words[k], &c))
		k++;
	if (k + 1 < n)
		return "expected weekdays such as Mon..Fri, or a date MONTH-DAY";
	/* 366 days of a leap year decide: 2000 has every day. */
	if (calendar_next(&c, 951782400 - 60ll * 24 * HOUR) == 0)
		return "there is no such day";
	*ret = c;
	return NULL;
}

/* ---- looking ahead ---------------------------------------------------------------------------*/

static bool is_day(const struct calendar *c, const struct tm *tm)
{
	return (c->months & (1u << tm->tm_mon)) && (c->days & (1u << tm->tm_mday)) &&
	       (c->weekdays & (1u << tm->tm_wday));
}

static bool is_minute(const struct calendar *c, const struct tm *tm)
{
	return is_day(c, tm) && (c->hours & (1u << tm->tm_hour)) &&
	       (c->minutes & (1ull << tm->tm_min));
}

/* Local times from one on, skip seconds long, which no clock showed. */
static bool was_left_out(const struct calendar *c, time_t local, long skip)
{
	struct tm tm;

	for (time_t t = local; t < local + skip; t += 60)
		if (gmtime_r(&t, &tm) && is_minute(c, &tm))
			return true;
	return false;
}

/* Did the clock show the same as at t some hours before? */
static bool is_second_time(time_t t, const struct tm *tm)
{
	struct tm before;
	time_t earlier = t - 3l * HOUR;

	if (!localtime_r(&earlier, &before) || before.tm_gmtoff <= tm->tm_gmtoff)
		return false;
	earlier = t - (before.tm_gmtoff - tm->tm_gmtoff);
	return localtime_r(&earlier, &before) && before.tm_gmtoff > tm->tm_gmtoff;
}

/* The first one at t or later within the clock's hour of t; 0: none. */
static time_t look_in_hour(const struct calendar *c, time_t t, const struct tm *tm)
{
	if (!is_day(c, tm) || !(c->hours & (1u << tm->tm_hour)) ||
	    (c->hours != ALL_HOURS && is_second_time(t, tm)))
		return 0;
	for (int min = tm->tm_min, sec = tm->tm_sec; min < 60; min++, sec = 0)
		for (; (c->minutes & (1ull << min)) && sec < 60; sec++)
			if (c->seconds & (1ull << sec))
				return t + (min - tm->tm_min) * 60 + (sec - tm->tm_sec);
	return 0;
}

time_t calendar_next(const struct calendar *c, time_t after)
{
	time_t t = after + 1, end = after + TEN_YEARS;
	struct tm tm, next;

	while (t < end && localtime_r(&t, &tm)) {
		time_t found = look_in_hour(c, t, &tm);
		if (found)
			return found;
		/* Days that are not meant only need the hours round midnight. */
		long ahead = HOUR - tm.tm_min * 60 - tm.tm_sec;
		if (!is_day(c, &tm) && tm.tm_hour < 21)
			ahead += (21 - tm.tm_hour) * HOUR;
		t += ahead;
		if (!localtime_r(&t, &next))
			break;
		long skip = next.tm_gmtoff - tm.tm_gmtoff;
		if (skip > 0 && c->hours != ALL_HOURS &&
		    was_left_out(c, t + next.tm_gmtoff - skip, skip))
			return t;
	}
	return 0;
}
