/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a builder finds in its environment and in its build directory. */
#pragma once

#include "store/daemon/session.h"

/* "NAME=VALUE" strings and a NULL, in arena: the defaults, the derivation's, the build directory's,
 * and for fixed outputs the named variables of the daemon. */
int buildenv_vars(struct session *s, struct arena *a, const struct drv *d, const char *cwd,
		  const char *const **ret, struct err *e);
/* Write the files that exportReferencesGraph and passAsFile ask for into dirfd, or those of
 * structured attributes. inputs: as in struct build. */
int buildenv_files(struct session *s, const struct drv *d, const struct vec *inputs, int dirfd,
		   uid_t uid, gid_t gid, struct err *e);
/* -ERR_BUILD when the derivation requires a feature that this machine does not offer. */
int buildenv_features(struct session *s, const char *drv_path, const struct drv *d, struct err *e);
