/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "system/ids.h"

/* Make the home directory of a user, with copies of the files of skeletons (a directory, NULL:
 * none): all of it or nothing. One that is there is left as it is. */
int home_make(const struct sys_root *r, struct ids *ids, const struct account *x,
	      const char *skeletons, struct err *e);
