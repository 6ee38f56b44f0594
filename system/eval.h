/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Evaluation: a Lua program becomes a graph of derivations with store paths, and the graph goes
 * into the store.
 *
 *	sys_eval_run()   boxed child runs Lua; the parent computes every store path. Touches no
 *store. sys_eval_add()   adds the sources and .drv files that are missing. Cheap when nothing is.
 *	sys_eval_build() adds, then builds every result that is a derivation.
 *
 * A result is one target or text of what the program returned: a single value has key "", a list
 * has keys "1", "2", …, a table its string keys (in order of bytes). Values are nodes and packages
 * (path of the selected output), strings, numbers and booleans ("1", "").
 *
 * This header is part of the public interface of system/ (system/system.h includes it).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/cmd.h"
#include "lib/err.h"
#include "lib/vec.h"

struct store_conn;

struct sys_eval_opts {
	const char *modules;   /* NULL: CAIRN_MODULES, the source tree this was built from,
				  what was pulled (system/channel.h),
				  /run/current-system/modules: the first that exists */
	const char *store_dir; /* NULL: STORE_DIR_DEFAULT */
	uint64_t memory;       /* limits of the box; 0: default */
	uint64_t instructions;
	uint64_t seconds;
};

/* One row of a command's option table: --modules. */
#define SYS_EVAL_OPTIONS(type, f)                                                                  \
	{                                                                                          \
		"modules", 0, CMD_STR, offsetof(type, f.modules), "DIR",                           \
			"directory of the Lua modules"                                             \
	}

enum sys_eval_kind {
	SYS_EVAL_NAME, /* text: package name of packages/index.lua, "zlib" or "zlib:lib" */
	SYS_EVAL_FILE, /* text: path of a Lua file; modules are also found beside it */
	SYS_EVAL_EXPR, /* text: Lua expression; modules are also found in the working directory */
};

struct sys_eval_request {
	enum sys_eval_kind kind;
	const char *text;
	/* Module that returns function(value, args), called with the value of the above; its
	 * result counts. NULL: the value itself. For example apply = "system.generation". */
	const char *apply;
	const char *const *args; /* "key=value": the string fields of the args table */
	size_t nargs;
};

struct sys_eval_result {
	const char *key;
	const char
		*value;	 /* store path of a node or package; else the text, placeholders replaced */
	const char *drv; /* path of the .drv; NULL: not a derivation */
	const char *output; /* output of drv; NULL: not a derivation */
	bool target;	    /* a node or package, not a text */
};

struct sys_eval;

/* Evaluate. On failure e has the message of the program's error ("FILE:LINE: …", several lines
 * possible), code -ERR_EVAL, or what failed outside of it. */
int sys_eval_run(const struct sys_eval_opts *opts, const struct sys_eval_request *req,
		 struct sys_eval **ret, struct err *e);
void sys_eval_free(struct sys_eval *ev); /* NULL allowed; results die with it */

size_t sys_eval_count(const struct sys_eval *ev);
const struct sys_eval_result *sys_eval_at(const struct sys_eval *ev, size_t i);
const struct sys_eval_result *sys_eval_find(const struct sys_eval *ev, const char *key);
/* Value of the result called key; NULL when there is none. */
const char *sys_eval_value(const struct sys_eval *ev, const char *key);

/* Strings: what the program warned of, "FILE:LINE: …". Standard error has heard them already. */
const struct vec *sys_eval_warnings(const struct sys_eval *ev);

/* All texts and variables of the graph, one after the other among other bytes; borrowed from ev. */
struct slice sys_eval_text(const struct sys_eval *ev);

/* What only the store can tell: has the kernel of a system, if it is there already, the modules
 * that the system needs? -ERR_EVAL, as if the evaluation had said it. What follows asks by itself.
 */
int sys_eval_check(struct sys_eval *ev, struct store_conn *c, struct err *e);
/* Add the results, and what they need, to the store where it is missing. */
int sys_eval_add(struct sys_eval *ev, struct store_conn *c, struct err *e);
/* sys_eval_add, then build all results (or the one called key, when not NULL). */
int sys_eval_build(struct sys_eval *ev, struct store_conn *c, const char *key, struct err *e);

/* Paths of the .drv files that would have to be built for all results, in an order of building;
 * strings live as long as ev. */
int sys_eval_missing(struct sys_eval *ev, struct store_conn *c, struct vec *ret, struct err *e);

/* The result called key, a generation, as far as it is known before it is built, below the empty
 * directory dir (system/sketch.h). Touches no store. */
int sys_eval_sketch(struct sys_eval *ev, const char *key, const char *dir, struct err *e);
/* What path will refer to, when it is an output of a derivation whose description says so. */
bool sys_eval_refs(const struct sys_eval *ev, const char *path, struct vec *ret);

/* Directory of the Lua modules by the rules of sys_eval_opts.modules, in arena. */
int sys_modules_dir(const char *option, struct arena *a, char **ret, struct err *e);
/* "types=daemon dhcp …", the argument by which a program knows the service types there are: the
 * files of DIR/services; in arena. */
int sys_type_modules(struct arena *a, const char *dir, char **ret, struct err *e);

extern const struct cmd sys_cmd_build; /* cairn build */
