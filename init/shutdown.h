/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The end: services stop in reverse order, then everything else, then the machine. */
#pragma once

#include <stdbool.h>

enum shutdown { SHUT_NONE, SHUT_REBOOT, SHUT_POWEROFF, SHUT_HALT, SHUT_KEXEC, SHUT_MAX };
extern const char *const shutdown_names[SHUT_MAX];

/* Go on with that of a life before. */
void shutdown_init(void);
/* Begin; a second request changes only the kind. */
void shutdown_begin(enum shutdown kind);
/* What a signal other than SIGCHLD asks PID 1 for. */
void shutdown_signal(int sig);
/* No service has a process, or the time is up. */
bool shutdown_is_due(void);
/* Kill the rest, unmount, reboot; or end, where PID 1 is not the machine's. */
__attribute__((noreturn)) void shutdown_finish(void);
