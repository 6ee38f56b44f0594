/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A downloaded archive in its place. */
#pragma once

#include "store/store.h"

/* Make name in dirfd of the NAR in the file archive there, compressed by xz when xz is true, and
 * remove that. */
int unpack_nar(int dirfd, const char *archive, bool xz, const char *name, struct err *e);
