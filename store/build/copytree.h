/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fresh copies of trees: new inodes that nobody who could open the old ones has ever seen. */
#pragma once

#include "lib/err.h"

/* Copy fromfd/from to tofd/to, which must not exist: regular files, directories and symbolic
 * links; anything else is -ERR_INVALID. Only types, contents and owner-x bits are taken over. */
int copytree(int fromfd, const char *from, int tofd, const char *to, struct err *e);
