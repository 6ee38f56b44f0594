/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Descriptors over an exec of PID 1: all of them go, each is taken by the owner that the state
 * names, the rest is closed. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define INHERIT_MAX 65536 /* descriptors above are left alone */

/* Before the exec: no descriptor is closed by it. on false: the exec failed, take that back. Safe
 * in a handler of signals. */
void inherit_pass(bool on);
/* After it: note what came, and make it close-on-exec. */
void inherit_note(void);
/* fd when it came and nobody took it, of that type (S_IFIFO, S_IFSOCK; 0: any); else -1. */
int inherit_take(int fd, mode_t type);
/* Close what nobody took. */
void inherit_close_rest(void);
