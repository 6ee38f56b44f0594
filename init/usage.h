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

/* false: the service has no control group of its own. */
bool usage_read(const char *service, struct usage *ret);
