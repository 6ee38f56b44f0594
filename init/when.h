/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Points in time as people write them. */
#pragma once

#include <stdint.h>

#include "lib/slice.h"

/* Milliseconds since 1970 from
 *   2026-01-31, 2026-01-31T23:59, 2026-01-31 23:59:59.5, each with Z or +HH:MM, else local time;
 *   10 minutes ago, 1h 30min ago, -2h; now, today, yesterday (midnights).
 * now_ms is the present. -ERR_SYNTAX, or 0 with *ret filled. */
int when_parse(struct slice text, uint64_t now_ms, uint64_t *ret);
