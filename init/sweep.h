/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Processes that left their service, where no control group holds them. After a double fork and
 * with a session of their own they are children of PID 1 that nobody waits for; SERVICE_NAME in
 * their environment says whose they were.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "init/set.h"

/* A file of /proc/PID, cut to size - 1 bytes; buf ends in a NUL. Count or negative. */
ssize_t sweep_read(int pid, const char *file, char *buf, size_t size);
/* The service that the environment of a process names, as it was when its program was executed. */
bool sweep_service_of(int pid, char name[LIMIT_SVC_NAME + 1]);
/* fn for each child of PID 1 that has not ended. */
void sweep_children(void (*fn)(int pid, void *arg), void *arg);
/* Children that belong to the service but were not started by PID 1: are there any; KILL to them.
 * The children of those become ours, and are found the next time. */
bool sweep_finds(const char *name);
void sweep_kill(const char *name);
