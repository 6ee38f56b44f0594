/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/schedule.h"

#define SECOND 1000000000ll

/* Boot time of a moment of the wall clock; what is past is now. */
static uint64_t boot_of(const struct schedule *s, int64_t wall_ns)
{
	return wall_ns <= s->wall ? s->boot : s->boot + (uint64_t)(wall_ns - s->wall);
}

/* The interval's next time. Those that passed while it ran are left out. */
static uint64_t next_interval(const struct svc_def *d, const struct schedule *s)
{
	int64_t now = s->wall / SECOND, every = (int64_t)(d->every / (uint64_t)SECOND);
	uint64_t due = s->since ? s->since + d->every : s->up + d->first_run;

	if (!s->since && d->catch_up && s->last && s->last <= now + SCHEDULE_JUMP) {
		int64_t wall = s->last + every;
		due = boot_of(s, wall * SECOND);
	}
	if (due < s->boot && s->since)
		due += (s->boot - due + d->every - 1) / d->every * d->every;
	return due < s->boot ? s->boot : due;
}

/* From which moment on the calendar is asked. */
static int64_t calendar_base(const struct svc_def *d, const struct schedule *s, int64_t now)
{
	if (d->catch_up && s->last && s->last < now)
		return s->last;
	/* A clock set back a little brings no run a second time. */
	if (s->last > now && s->last - now <= SCHEDULE_JUMP)
		return s->last;
	return now;
}

static int64_t next_calendar(const struct svc_def *d, const struct schedule *s)
{
	int64_t now = s->wall / SECOND, best = 0, base;

	/* Its time is there, or a clock that was set went over it. */
	if (s->planned && s->planned <= now && now - s->planned <= SCHEDULE_JUMP)
		return s->planned;
	base = calendar_base(d, s, now);
	for (size_t i = 0; i < d->ncalendars; i++) {
		int64_t t = calendar_next(&d->calendars[i], (time_t)base);
		if (t && (!best || t < best))
			best = t;
	}
	return best;
}

uint64_t schedule_next(const struct svc_def *d, const struct schedule *s, int64_t *ret_planned)
{
	uint64_t due = d->every ? next_interval(d, s) : 0;
	int64_t planned = d->ncalendars ? next_calendar(d, s) : 0;

	*ret_planned = 0;
	if (planned) {
		uint64_t at = boot_of(s, planned * SECOND);
		if (!due || at < due) {
			due = at;
			*ret_planned = planned;
		}
	}
	if (due && d->random_delay)
		due += s->random % d->random_delay;
	return due;
}
