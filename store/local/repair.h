/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Damaged items are fetched from a cache that has them as they were, or made again by the
 * derivations they came from. */
#pragma once

#include "store/daemon/session.h"

/* Repair what local_verify found; *ret_left counts what could not be. What stands in the way is
 * said to the client. */
int repair_all(struct session *s, const struct vec *bad, uint64_t *ret_left, struct err *e);
/* Make things valid as goal_build does, then repair what they and what they refer to have lost. */
int repair_build(struct session *s, const struct vec *things, int *ret_status, struct err *e);
