/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What becomes of open connections when their listener ends, because another daemon takes its
 * place: they go on until their clients leave, with a bound.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

/*
 * Move the caller to a control group of its own below the group that PID 1 delegated to this
 * service, so that a next life of the daemon has another one. Groups that earlier lives left empty
 * are removed. Does nothing where there is no such group.
 */
void drain_own_group(void);

/*
 * Have a process wait for the n processes of pids, which are children of the caller that it has not
 * waited for, and kill those that are there after `seconds` (0: never). The caller may exit then.
 * It holds no descriptor of the caller's but 0, 1, 2. say: called in that process, when it begins
 * with the number of connections, and when the time is over with how many were killed.
 */
int drain_begin(const pid_t *pids, size_t n, uint64_t seconds, void (*say)(bool over, size_t n),
		struct err *e);
