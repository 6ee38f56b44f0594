/* SPDX-License-Identifier: GPL-3.0-or-later */
/* builtin:download: a child of the daemon that gives up its rights and writes one file. */
#pragma once

#include <sys/types.h>

#include "lib/proc.h"
#include "store/store.h"

struct download {
	const struct drv *drv; /* borrowed */
	uid_t uid;	       /* to become, when the caller is root */
	gid_t gid;
	int dirfd;	  /* where the file goes */
	const char *name; /* of the file */
	int log;	  /* standard output and error */
};

int download_start(const struct download *d, struct proc *ret, struct err *e);
