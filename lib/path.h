/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Path text; nothing here touches the file system. Joined paths are bounded by PATH_MAX. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/slice.h"

/* A path under construction: push returns the old length, pop restores it. Sticky overflow. */
struct path {
	char buf[PATH_MAX];
	size_t len;
	int err; /* 0 or -ENAMETOOLONG */
};

void path_init(struct path *p, const char *start);
size_t path_push(struct path *p, const char *component); /* adds "/" as needed */
void path_pop(struct path *p, size_t old_len);
/* a "/" b into out; -ENAMETOOLONG when it does not fit. */
int path_join(char out[PATH_MAX], const char *a, const char *b);
/* Last component; "" for a path that ends in '/'. Points into path. */
const char *path_base(const char *path);
/* Directory part into out: "." when there is none, "/" for "/x". */
int path_dir(char out[PATH_MAX], const char *path);
/* true when path has no empty, "." or ".." component (a leading '/' is fine). */
bool path_is_clean(const char *path);
/* true when path is dir or lies below it (textually; both clean). */
bool path_is_below(const char *path, const char *dir);
