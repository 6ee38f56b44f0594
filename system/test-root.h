/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The root of a container that tests a system, made from inside by who is root there. */
#pragma once

#include "lib/err.h"
#include "lib/vec.h"

#define TEST_ROOT_SET "/run/services-set" /* what PID 1 is to read there */

/* Make a root in memory, with the store that a descriptor is of, and enter it. */
int test_root_make(int store, struct err *e);
/* Fill it as a machine has it that was booted with the system. files: struct test_file. */
int test_root_fill(const char *system, const struct vec *files, struct err *e);
