/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"

/* Copy the regular file source to target, which is replaced at once when the copy is complete and
 * on disk: shared blocks where the file system can, else holes stay holes. What killed runs left
 * beside target is removed. *ret: real path of target, in arena. */
int img_place(const char *source, const char *target, struct arena *a, const char **ret,
	      struct err *e);

/* The same for each file of the directory source; target is made when it is missing, and what else
 * is in it stays. */
int img_place_files(const char *source, const char *target, struct arena *a, const char **ret,
		    struct err *e);

/* Whether img_place(), img_place_files() could write target: said before a long build, not after.
 */
int img_place_check(const char *target, struct err *e);
int img_place_files_check(const char *target, struct err *e);
