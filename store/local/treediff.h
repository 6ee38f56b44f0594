/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where two trees differ. */
#pragma once

#include "lib/err.h"

/* rel is the place below the top, "" for the top itself; what is said of it is a few words. */
typedef void treediff_fn(void *arg, const char *rel, const char *what);

/* Compare types, contents, x bits and link targets of afd/a and bfd/b; nothing is followed. */
int treediff(int afd, const char *a, int bfd, const char *b, treediff_fn *tell, void *arg,
	     struct err *e);
