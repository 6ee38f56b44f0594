/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"

/* The kernel's command line with what says where the root file system is (root= rootfstype=
 * rootflags= ro rw) replaced by the words of root, in arena. */
int params_with_root(struct arena *a, const char *params, const char *root, const char **ret,
		     struct err *e);
