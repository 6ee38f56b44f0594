/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a process of a service is shut into: namespaces, mounts, capabilities, a filter of system
 * calls. Runs in the child between clone and exec, where nothing allocates and nothing returns to
 * PID 1; a failure is a step, perhaps an object, and an errno (doc/service-set.md lists the keys).
 */
#pragma once

#include <sys/types.h>

#include "init/set.h"

struct box_fail {
	const char *step, *object; /* object NULL: none. Both live in the child. */
};

/* Namespaces and mounts, as root. join, pid: descriptor and number of the service's main process,
 * whose namespaces a helper command enters; -1: own ones. 0 or -errno and f. */
int box_enter(const struct svc_def *d, int join, pid_t pid, struct box_fail *f);
/* Capabilities: before the user changes (whether it does), and after. */
int box_bound(const struct svc_box *b, bool change_user, struct box_fail *f);
int box_raise(const struct svc_box *b, bool change_user, struct box_fail *f);
/* The filter's file is found before the mounts hide it, and loaded last. */
int box_find_filter(const struct svc_box *b, struct box_fail *f);
int box_load_filter(const struct svc_box *b, struct box_fail *f);
