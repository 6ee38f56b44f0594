/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The numbers that a directory of the kernel lists: processes, descriptors. Nothing but system
 * calls, so a handler of signals may come here. */
#pragma once

#include <stdbool.h>

/* fn for each; false: there is no such directory. /proc/self/fd has that of the walk, too. */
bool numbers_each(const char *path, void (*fn)(int number, void *arg), void *arg);
