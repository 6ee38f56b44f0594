/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Disks that a system can be installed on: what they are, and one of them opened so that nobody
 * else uses it. All text that a device gives is printable by the time it is here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"
#include "lib/vec.h"

struct device {
	const char *path;	    /* /dev/vda; a regular file, too, when it is opened by name */
	const char *model, *serial; /* "" when unknown */
	uint64_t size;		    /* bytes */
	uint64_t number;	    /* dev_t of a block device; 0 of a file */
	bool read_only, in_use;	    /* in_use: mounted, swap, or part of another device */
	int fd;			    /* of device_open(); else -1 */
	int guard;		    /* keeps others away; -1: does not */
};

/* All whole disks but memory, loop and optical ones, by name: struct device *, in arena. */
int device_list(struct arena *a, struct vec *ret, struct err *e);
/* Open for writing and for nobody else. -ERR_IN_USE when somebody has it, be it only a partition;
 * -ERR_INVALID for a partition, or what is no disk. */
int device_open(struct arena *a, const char *path, struct device *ret, struct err *e);
/* Look once more at what is open: serial number and size. -ENODEV when it has been taken away. */
int device_again(struct arena *a, struct device *d, struct err *e);
void device_close(struct device *d);
/* Let programs have it for themselves that are given device_fd_path(). */
void device_share(struct device *d);
/* The path of what is open, for programs: names this very device whatever has its name by then. */
const char *device_fd_path(const struct device *d, struct arena *a);
/* What is on it, one line a piece, indented; looked at by a child with a time limit. */
int device_contents(const struct device *d, struct str *out, struct err *e);
