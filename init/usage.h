/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a service uses: from its control group, by whoever can read /sys/fs/cgroup. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct usage {
	uint64_t memory;    /* bytes; 0: not counted */
	uint64_t cpu;	    /* microseconds */
	uint64_t processes; /* in all groups below, too */
};

/* Processes of an earlier start of a service that go on after its main process ended: a group below
 * that of the service with the attribute user.drain-until. */
struct draining {
	const char *group;  /* lives during the callback */
	uint64_t processes; /* at least one */
	uint64_t until;	    /* seconds since 1970; 0: no bound */
};
void usage_draining(const char *service, void (*fn)(void *arg, const struct draining *d),
		    void *arg);

/* false: the service has no control group of its own. */
bool usage_read(const char *service, struct usage *ret);
