/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the commands that write images inside derivations have in common: options, and the contents
 * that follow from them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "image/contents.h"
#include "lib/arena.h"
#include "lib/cmd.h"
#include "lib/err.h"
#include "lib/vec.h"

struct builder_opts { /* part of a command's context */
	const char *closure, *system, *output, *store_prefix, *work;
};

/* Rows of a command's option table; f is the struct builder_opts in type. */
#define BUILDER_CLOSURE(type, f)                                                                   \
	{                                                                                          \
		"closure", 0, CMD_STR, offsetof(type, f.closure), "FILE",                          \
			"closure as exportReferencesGraph writes it"                               \
	}
#define BUILDER_OUTPUT(type, f)                                                                    \
	{                                                                                          \
		"output", 'o', CMD_STR, offsetof(type, f.output), "FILE",                          \
			"image to make; else $out"                                                 \
	}
#define BUILDER_STORE_PREFIX(type, f)                                                              \
	{                                                                                          \
		"store-prefix", 0, CMD_STR, offsetof(type, f.store_prefix), "DIR",                 \
			"directory in front of the store"                                          \
	}
#define BUILDER_SYSTEM(type, f)                                                                    \
	{                                                                                          \
		"system", 0, CMD_STR, offsetof(type, f.system), "PATH", "generation"               \
	}
#define BUILDER_WORK(type, f)                                                                      \
	{                                                                                          \
		"work", 0, CMD_STR, offsetof(type, f.work), "DIR", "scratch directory"             \
	}

struct builder {
	struct arena arena;
	struct vec closure; /* of the contents */
	struct contents contents;
};

#define BUILDER_INIT                                                                               \
	{                                                                                          \
		.arena = ARENA_INIT, .closure = VEC_INIT                                           \
	}

/* Complete the options, and take what they name: contents without a menu. */
int builder_load(struct builder *b, struct builder_opts *o, struct err *e);
void builder_done(struct builder *b);
static inline void builder_cleanup(struct builder *b)
{
	builder_done(b);
}
#define auto_builder __attribute__((cleanup(builder_cleanup)))

/* "image: 12M, 34 store items": what was written, on standard error. */
void builder_report(uint64_t bytes, const char *what, size_t n);
