/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where builds of one daemon process work: STATEDIR/builds/PID.N, only ours, locked while we live,
 * with one directory for each build that becomes its /tmp. Directories of dead processes are swept
 * when a new one is made.
 */
#pragma once

#include <sys/types.h>

#include "store/local/local.h"

struct workdir {
	int fd;	  /* owned; -1: not made yet */
	int lock; /* owned */
	char name[48];
};

#define WORKDIR_INIT                                                                               \
	{                                                                                          \
		-1, -1, ""                                                                         \
	}

int workdir_make(struct workdir *w, struct local *l, struct err *e); /* once; later calls: 0 */
void workdir_remove(struct workdir *w, struct local *l);	     /* with all that is in it */
/* Move dirfd/name of a failed build to STATEDIR/failed/name-N, harmless and given to uid and gid
 * ((uid_t)-1: left as it is); ret: the physical path. */
int workdir_keep(struct local *l, int dirfd, const char *name, uid_t from, uid_t uid, gid_t gid,
		 struct str *ret, struct err *e);
