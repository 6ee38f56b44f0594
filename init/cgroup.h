/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Control groups (v2), one per service below <mount>/service. Without a writable hierarchy every
 * call does nothing and says so by cgroup_on() == false; one message tells it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "init/set.h"

/* Move PID 1 to its own leaf, enable controllers. Logs why when it cannot; who is not PID 1 does
 * not try. At the root of the hierarchy the move is left to cgroup_leave_root(). */
void cgroup_init(void);
/* Move PID 1 and its logger out of the root group, if they are there; once. It takes so long that a
 * boot should not wait for it. */
void cgroup_leave_root(pid_t logger);
bool cgroup_on(void);
/* Make the group of a service, write its limits, and open the group its processes start in.
 * Descriptor, or -errno. uid and gid own a delegated one. */
int cgroup_open(const struct svc_def *d, uid_t uid, gid_t gid);
void cgroup_kill(const char *name);
bool cgroup_populated(const char *name);
void cgroup_remove(const char *name); /* what is busy stays */
/* The service whose group pid is in: name of at most LIMIT_SVC_NAME bytes. */
bool cgroup_service_of(pid_t pid, char name[LIMIT_SVC_NAME + 1]);
