/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who a process belongs to, and the one place that waits for children: peek, so that the number
 * stays taken; find the owner; reap; tell.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "init/svc.h"

/* l is a member of s, and stays where it is until the process was reaped or reap_forget(). */
void reap_watch(struct pid_link *l, pid_t pid, struct svc *s);
void reap_forget(struct pid_link *l);
/* Is pid a main process or a command of some service? */
bool reap_knows(pid_t pid);
/* The owner of a process: by pid, else by control group. NULL: nobody's. */
struct svc *reap_owner(pid_t pid);
/* As if the process of l had been reaped with that status. */
void reap_tell(struct pid_link *l, int status);

void reap_soon(void); /* at the next turn: children may have ended */
bool reap_is_due(void);
/* Reap what is there, a bounded number; what is left keeps it due. */
void reap_turn(void);
