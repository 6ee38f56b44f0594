/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The running PID 1, asked and told through "cairn service load" (doc/service-set.md): the commands
 * are the contract, so that neither side knows the other's headers.
 */
#pragma once

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"

/* Is Cairn's PID 1 running here? */
bool live_is_running(void);
/* Load the service set in file; dry: only say what would happen. Vec of struct svc_change in arena.
 */
int live_load(struct arena *a, const char *file, bool dry, struct vec *ret, struct err *e);
