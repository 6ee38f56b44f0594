/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a builder finds in its environment and in its build directory. */
#pragma once

#include "store/session.h"

/* "NAME=VALUE" strings and a NULL, in arena: the defaults, the derivation's, the build directory's,
 * and for fixed outputs the named variables of the daemon. */
int buildenv_vars(struct session *s, struct arena *a, const struct drv *d, const char *cwd,
		  const char *const **ret, struct err *e);
/* Write the files that exportReferencesGraph asks for into dirfd. inputs: as in struct build. */
int buildenv_graphs(struct session *s, const struct drv *d, const struct vec *inputs, int dirfd,
		    uid_t uid, gid_t gid, struct err *e);
