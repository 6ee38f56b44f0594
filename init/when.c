/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/when.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "lib/err.h"
#include "lib/size.h"
#include "lib/text.h"

#define DAY 86400

/* ---- spans -----------------------------------------------------------------------------------*/

static bool take_number(struct slice *s, uint64_t max, uint64_t *ret)
{
	size_t n = 0;

	while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
		n++;
	if (text_u64((struct slice){ s->p, n }, max, ret) < 0)
		return false;
	s->p += n;
	s->n -= n;
	return true;
}

/* "10 minutes", "1h 30min", "2 weeks": milliseconds. */
static bool parse_span(struct slice s, uint64_t *ret)
{
	static const struct {
		const char *names; /* separated by blanks */
		uint64_t ms;
	} units[] = {
		{ "ms msec millisecond milliseconds", 1 }, { "s sec secs second seconds", 1000 },
		{ "m min mins minute minutes", 60000 },	   { "h hour hours", 3600000 },
		{ "d day days", DAY * 1000ull },	   { "w week weeks", 7 * DAY * 1000ull },
	};
	uint64_t total = 0, n;

	for (s = slice_trim(s); s.n; s = slice_trim(s)) {
		size_t len = 0, i;
		if (!take_number(&s, 1000000000, &n))
			return false;
		s = slice_trim(s);
		while (len < s.n && s.p[len] >= 'a' && s.p[len] <= 'z')
			len++;
		struct slice unit = { s.p, len };
		for (i = 0; i < ARRAY_LEN(units); i++) {
			struct slice names = slice_of(units[i].names), name;
			while (slice_cut(&names, ' ', &name) && !slice_eq(name, unit))
				;
			if (slice_eq(name, unit))
				break;
		}
		if (len == 0 || i == ARRAY_LEN(units))
			return false;
		if (__builtin_add_overflow(total, n * units[i].ms, &total))
			return false;
		s.p += len;
		s.n -= len;
	}
	*ret = total;
	return total > 0;
}

/* ---- dates -----------------------------------------------------------------------------------*/

/* DIGITS digits, then the character after (0: none). */
static bool take_field(struct slice *s, size_t digits, char after, int min, int max, int *ret)
{
	uint64_t v;

	if (s->n < digits + (after != 0) ||
	    text_u64((struct slice){ s->p, digits }, (uint64_t)max, &v) < 0 || (int)v < min ||
	    (after && s->p[digits] != after))
		return false;
	s->p += digits + (after != 0);
	s->n -= digits + (after != 0);
	*ret = (int)v;
	return true;
}

static bool take_clock(struct slice *s, struct tm *tm, uint64_t *ms)
{
	uint64_t unit = 100;

	if (!take_field(s, 2, ':', 0, 23, &tm->tm_hour) || !take_field(s, 2, 0, 0, 59, &tm->tm_min))
		return false;
	if (!slice_starts(*s, ":"))
		return true;
	s->p++;
	s->n--;
	if (!take_field(s, 2, 0, 0, 60, &tm->tm_sec))
		return false;
	if (!slice_starts(*s, "."))
		return true;
	for (s->p++, s->n--; s->n && *s->p >= '0' && *s->p <= '9'; s->p++, s->n--, unit /= 10)
		*ms += (uint64_t)(*s->p - '0') * unit;
	return true;
}

/* "Z", "+02:00": seconds east. false: neither. */
static bool parse_zone(struct slice s, int *east)
{
	int h, m;
	bool west = slice_starts(s, "-");

	*east = 0;
	if (slice_is(s, "Z") || slice_is(s, "z"))
		return true;
	if (!west && !slice_starts(s, "+"))
		return false;
	s.p++;
	s.n--;
	if (!take_field(&s, 2, ':', 0, 23, &h) || !take_field(&s, 2, 0, 0, 59, &m) || s.n)
		return false;
	*east = (h * 3600 + m * 60) * (west ? -1 : 1);
	return true;
}

static bool parse_date(struct slice s, uint64_t *ret)
{
	struct tm tm = { .tm_isdst = -1 };
	uint64_t ms = 0;
	int east = 0;
	time_t t;

	if (!take_field(&s, 4, '-', 1970, 9999, &tm.tm_year) ||
	    !take_field(&s, 2, '-', 1, 12, &tm.tm_mon) || !take_field(&s, 2, 0, 1, 31, &tm.tm_mday))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (s.n && (*s.p == 'T' || *s.p == 't' || *s.p == ' ')) {
		s.p++;
		s.n--;
		if (!take_clock(&s, &tm, &ms))
			return false;
	}
	int day = tm.tm_mday;
	if (s.n == 0)
		t = mktime(&tm);
	else if (parse_zone(s, &east))
		t = timegm(&tm) - east;
	else
		return false;
	if (t < 0 || tm.tm_mday != day) /* the 31st of a month that has none */
		return false;
	*ret = (uint64_t)t * 1000 + ms;
	return true;
}

static uint64_t midnight(uint64_t now_ms, int days)
{
	time_t t = (time_t)(now_ms / 1000);
	struct tm tm;

	if (!localtime_r(&t, &tm))
		return 0;
	tm.tm_sec = tm.tm_min = tm.tm_hour = 0;
	tm.tm_mday += days;
	tm.tm_isdst = -1;
	t = mktime(&tm);
	return t < 0 ? 0 : (uint64_t)t * 1000;
}

int when_parse(struct slice text, uint64_t now_ms, uint64_t *ret)
{
	struct slice s = slice_trim(text);
	uint64_t span;

	if (slice_is(s, "now"))
		*ret = now_ms;
	else if (slice_is(s, "today"))
		*ret = midnight(now_ms, 0);
	else if (slice_is(s, "yesterday"))
		*ret = midnight(now_ms, -1);
	else if (slice_ends(s, " ago") && parse_span((struct slice){ s.p, s.n - 4 }, &span))
		*ret = now_ms > span ? now_ms - span : 0;
	else if (slice_starts(s, "-") && parse_span((struct slice){ s.p + 1, s.n - 1 }, &span))
		*ret = now_ms > span ? now_ms - span : 0;
	else if (!parse_date(s, ret))
		return -ERR_SYNTAX;
	return 0;
}
