/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The program that runs inside the box: Lua. Only the files of this directory know it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Its first chunk, below the directory of modules. */
#define PRELUDE "system/lua/prelude.lua"

struct program {
	uint64_t memory, instructions;
	const char *kind;    /* "name", "file", "expr" */
	const char *text;    /* name, expression, or file name below root 1 */
	const char *apply;   /* module, or NULL */
	const char *display; /* what precedes names of root 1 in messages: "" or "dir/" */
	const char *store_dir;
	const char *const *args; /* "key=value" */
	size_t nargs;
};

/* box_main_fn; arg is a struct program. */
int program_main(int fd, void *arg);
