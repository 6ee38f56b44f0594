/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Source trees: which files of a tree are taken, and the hash of their NAR, remembered per user.
 *
 * The memory is keyed by what stat says of every file taken (device, inode, size, mode,
 * modification and change times to the nanosecond), so a file that did not change is not read
 * again. A tree touched within the last two seconds is hashed but not remembered, because a second
 * change within the same tick of the clock would not show.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/tab.h"
#include "store/store.h"
#include "system/graph.h"

struct sources {
	int dirfd[LIMIT_EVAL_ROOTS]; /* owned; -1: none */
	struct arena arena;
	struct tab known; /* 32 byte key -> 32 byte NAR hash */
	bool loaded, changed;
};

#define SOURCES_INIT                                                                               \
	{                                                                                          \
		{ -1, -1 }, ARENA_INIT, TAB_INIT, false, false                                     \
	}

/* A tree chosen by patterns, opened. */
struct source_tree {
	struct arena arena;
	int dirfd;	  /* owned: directory that holds name */
	const char *name; /* entry to dump: "." for the root itself */
	struct tab taken; /* relative paths; empty when everything is taken */
	bool all;
	uint8_t key[32];
	bool fresh; /* touched too recently to be remembered */
};

#define SOURCE_TREE_INIT                                                                           \
	{                                                                                          \
		ARENA_INIT, -1, NULL, TAB_INIT, false, { 0 }, false                                \
	}

/* "*" any run without "/", "**" any run, "?" one byte but "/". */
bool pattern_match(struct slice pattern, struct slice path);

int source_open(struct sources *s, const struct node *n, struct source_tree *t, struct err *e);
void source_done(struct source_tree *t);
/* For store_add_tree() and nar_hash(); arg is the tree. */
bool source_filter(void *arg, const char *rel, unsigned mode);
/* graph_hash_fn; arg is the struct sources. */
int sources_hash(void *arg, const struct node *n, struct digest *ret, struct err *e);
/* Read one file below a root; -ENOENT when it does not exist (e untouched then). */
int sources_read(struct sources *s, uint64_t root, const char *path, struct str *out,
		 struct err *e);
/* -ENOENT when there is nothing called path below a root (e untouched then). */
int sources_exists(struct sources *s, uint64_t root, const char *path, struct err *e);
/* The name in the directory of path that is nearest to path's, as a module's (without ".lua") into
 * out; -ENOENT when none is near. For messages. */
int sources_nearest(struct sources *s, uint64_t root, const char *path, struct str *out);
/* Open below a root, never leaving it. -errno. */
int sources_open_below(struct sources *s, uint64_t root, const char *path, int flags);
/* Write the memory back if it changed; failure does not matter. */
void sources_save(struct sources *s);
void sources_done(struct sources *s);
