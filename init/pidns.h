/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Process numbers of its own for a service. The first process of such a namespace is a reaper, the
 * same binary: it takes in orphans and ends, and with it all that is left, when the service's
 * program does. So the program is not the namespace's PID 1, whose signals have no default action,
 * and it is a child of PID 1 like any other.
 */
#pragma once

#include "init/child.h"

/* Clones the reaper with `clone` (as fork, with a pidfd), and makes the next process that PID 1
 * clones the first one it takes care of. 0 or -errno. */
int pidns_begin(pid_t (*clone)(uint64_t flags, int *pidfd), int exe, int *ret_reaper);
/* The same for a helper command, into the namespace of that process. */
int pidns_join(int pidfd);
/* Back: the next process is one of PID 1's own. Until that worked nothing may be started. */
int pidns_end(void);
/* started: the reaper learns that its process is there; else it ends. Takes the descriptor. */
void pidns_tell(int *reaper, bool started);
/* A life of PID 1 that goes on where another ended does not know where that one was. */
void pidns_come_home(void);
int pidns_main(void); /* cairn-init --reaper */
