/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an image holds: one list of entries with everything a writer may use. No writer looks at
 * owner, mode or time of a source file.
 *
 * Order once sorted: a directory, then its entries by name in order of bytes, each with what is
 * below it. That is also the order of a NAR.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"

enum man_type {
	MAN_DIR,
	MAN_FILE,
	MAN_LINK,
	MAN_CHAR,
	MAN_BLOCK,
	MAN_MAX,
};

struct man_entry {
	const char *path; /* without a leading '/'; "" is the root */
	enum man_type type;
	unsigned mode; /* permission bits, 07777 */
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t major, minor; /* MAN_CHAR, MAN_BLOCK */
	const char *target;    /* MAN_LINK */
	const char *source;    /* MAN_FILE: a file to read; NULL: the bytes are in data */
	struct slice data;     /* MAN_FILE without source */
	uint64_t size;	       /* MAN_FILE: bytes; of a late entry: an estimate */
	const char *same; /* MAN_FILE, for ext4: this is a second name of the file that has that
			   * path and comes later; no source, no data */
	bool late;	  /* source is made only when the writer comes to it */
	struct store_info *item; /* the store item this entry is, or lies in; else NULL */
	size_t depth;		 /* components below the item: 0 is the item itself */
};

struct manifest {
	struct arena *arena; /* borrowed; owns entries and strings */
	struct vec entries;  /* of struct man_entry * */
};

/* A new entry: mode 0755 for directories, 0777 for links, 0644 otherwise; root's; mtime 1. path is
 * copied. NULL when memory is gone (the arena's error is set). */
struct man_entry *manifest_add(struct manifest *m, enum man_type type, const char *path);
struct man_entry *manifest_dir(struct manifest *m, const char *path, unsigned mode);
struct man_entry *manifest_link(struct manifest *m, const char *path, const char *target);
struct man_entry *manifest_bytes(struct manifest *m, const char *path, unsigned mode,
				 struct slice data);

/* Add the store item at the physical path source as item->path, with what is below it, in the only
 * owners, modes and times a store has. */
int manifest_add_item(struct manifest *m, const char *source, struct store_info *item,
		      struct err *e);
/* Add source and what is below it as ordinary, writable files at path. Links into the store (which
 * is behind prefix) are replaced by what they name, other links stay links. */
int manifest_add_copy(struct manifest *m, const char *prefix, const char *source, const char *path,
		      struct err *e);

/* Sort, then check: no path twice, every parent is a directory entry, nothing unclean. */
int manifest_finish(struct manifest *m, struct err *e);
const struct man_entry *manifest_at(const struct manifest *m, size_t i);
void manifest_done(struct manifest *m);
