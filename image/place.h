/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"

/* Copy the regular file source to target, which is replaced at once when the copy is complete and
 * on disk: shared blocks where the file system can, else holes stay holes. What killed runs left
 * beside target is removed. *ret: real path of target, in arena. */
int img_place(const char *source, const char *target, struct arena *a, const char **ret,
	      struct err *e);

/* Whether img_place() could write target: said before a long build, not after. */
int img_place_check(const char *target, struct err *e);
