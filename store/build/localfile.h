/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files that stand in for a mirror: only the administrator can name such a place. */
#pragma once

#include "lib/err.h"

/* The path of a file:/// URL; NULL: another one. */
const char *localfile_path(const char *url);
/* Open the regular file of such a URL; no part of its path may be a link. -ERR_FETCH. */
int localfile_open(const char *url, int *ret, struct err *e);
