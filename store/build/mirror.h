/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * mirror://NAME/PATH: bases come from the environment (CAIRN_MIRROR_NAME), and for "debian" else
 * from the machine's own apt configuration. No mirror is known to the program.
 */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"

/* Add the URLs that url stands for: itself, or one for each base of its mirror; none when the
 * mirror is not configured. */
int mirror_expand(struct arena *a, const char *url, struct vec *ret, struct err *e);
/* apt's proxy for plain HTTP; NULL: none. */
const char *mirror_apt_proxy(struct arena *a);

/* The first base of Debian's main archive in a sources file; deb822 or one line each. For tests. */
char *mirror_parse_apt(struct arena *a, struct slice text, bool deb822);
