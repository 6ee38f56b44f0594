/* SPDX-License-Identifier: GPL-3.0-or-later */
/* builtin:download and builtin:fetchurl: a helper of the daemon that writes one file; and
 * builtin:git-download, a tree. */
#pragma once

#include "lib/proc.h"
#include "store/build/cell.h"
#include "store/store.h"

struct download {
	const struct drv *drv; /* borrowed */
	struct cell_id id;     /* what it becomes */
	int root;	       /* any directory */
	const char *git;       /* builtin:git-download: the program, or NULL: from PATH */
	bool is_git;
	bool plain;	     /* the URL is no Scheme: builtin:fetchurl */
	const char *mirrors; /* table of what mirror://NAME stands for, in Scheme; NULL: none */
	int dirfd;	     /* where the file goes */
	const char *name;    /* of the file */
	int log;	     /* standard output and error */
};

int download_start(const struct download *d, struct proc *ret, struct err *e);
