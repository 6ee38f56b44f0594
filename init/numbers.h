/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a directory of the kernel lists: names, and numbers (processes, descriptors). Nothing but
 * system calls, so a handler of signals may come here. */
#pragma once

#include <stdbool.h>

/* fn for each name in dir, an open directory that stays the caller's; type: DT_…. false: it cannot
 * be read to its end. */
bool numbers_names(int dir, void (*fn)(const char *name, unsigned char type, void *arg), void *arg);
/* fn for each; false: there is no such directory. /proc/self/fd has that of the walk, too. */
bool numbers_each(const char *path, void (*fn)(int number, void *arg), void *arg);
