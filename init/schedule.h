/* SPDX-License-Identifier: GPL-3.0-or-later */
/* When a timed service runs next. Decides only: the clocks are arguments. */
#pragma once

#include <stdint.h>

#include "init/set.h"

/* Clocks that differ by more than this were not set but mended: nothing is owed for the time
 * between. */
#define SCHEDULE_JUMP (3ll * 3600)

struct schedule {
	int64_t wall;  /* now: CLOCK_REALTIME, ns */
	uint64_t boot; /* now: CLOCK_BOOTTIME, ns */
	int64_t last;  /* CLOCK_REALTIME of the last run, of an earlier boot perhaps, s; 0: none */
	int64_t planned; /* what was waited for until now, s; 0: nothing, or not by the calendar */
	uint64_t since;	 /* CLOCK_BOOTTIME: when the time of the last run came; 0: none in this boot
			  */
	uint64_t up;	 /* CLOCK_BOOTTIME: when the service came up */
	uint64_t random;
};

/* CLOCK_BOOTTIME of the next run, 0: never; *ret_planned is its time in seconds of CLOCK_REALTIME
 * when the calendar gave it, else 0. */
uint64_t schedule_next(const struct svc_def *d, const struct schedule *s, int64_t *ret_planned);
