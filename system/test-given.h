/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a system under test in a container gets of this machine: the values of its secrets, and the
 * first passwords of its users. In memory, and wiped afterwards. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"
#include "system/root.h"
#include "system/secret-values.h"

/* A file of the machine that the system names, and that must be there. */
struct test_file {
	const char *path;
	struct slice text; /* borrowed */
};

struct test_given {
	struct arena arena;
	struct secret_values secrets;
	struct vec passwords; /* struct str, in the arena: the texts of their files */
	struct vec files;     /* struct test_file, in the arena; texts of the above */
};

#define TEST_GIVEN_INIT                                                                            \
	{                                                                                          \
		ARENA_INIT, SECRET_VALUES_INIT, VEC_INIT, VEC_INIT                                 \
	}

int test_given_load(struct test_given *g, const struct sys_root *r, const char *system,
		    struct err *e);
void test_given_done(struct test_given *g);
