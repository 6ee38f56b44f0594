/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trees from a description: what the derivations of a system make (etc, profile, generation,
 * initramfs) inside the build. The description is text in an environment variable:
 *
 *	[directory PATH]
 *	mode = 0755
 *	[file PATH]
 *	text = "contents, with \n and \xNN"	or	hex = 545a6966…
 *	executable = yes
 *	self = yes				@out@ in text becomes the output's path
 *	[link PATH]
 *	target = /gnu/store/…
 *	[copy PATH]
 *	from = /gnu/store/…/file
 *	[union PATH]				links to everything below PARTS of each item;
 *						PATH . is the top
 *	from = /gnu/store/a /gnu/store/b	the first item that has a name wins
 *	parts = bin sbin			none: all of it
 *	unique = yes				it is an error when two have a name, unless the
 *files are the same
 *	[modules PATH]				kernel modules with what they need, and PATH/order:
 *	from = /gnu/store/…-linux		their file names in the order to load them
 *	names = xfs nf_tables
 *	[module-tree PATH]			lib/modules of a kernel with modules of packages in
 *	from = /gnu/store/…-linux /gnu/store/a	it (system/module-tree.h)
 *	[node PATH]				cpio only: character device
 *	major = 5
 *	minor = 1
 *	[boot-entry PATH]			boot data in the form of bootloader/
 *	label = … version = … kernel = … initrd = … parameters = …	(self as for files)
 *
 * Paths are relative and clean; parents are made as needed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "lib/vec.h"

enum tree_kind { TREE_DIR, TREE_FILE, TREE_LINK, TREE_COPY, TREE_NODE, TREE_KIND_MAX };

struct tree_item {
	enum tree_kind kind;
	const char *path;   /* relative, clean */
	const char *target; /* of a link; physical source of a copy */
	struct slice data;  /* of a file */
	unsigned mode;	    /* permission bits */
	unsigned major, minor;
	bool weak;   /* from a union: an earlier item of the same path stays */
	bool unique; /* from one where no other file of the path may be */
};

struct tree {
	struct arena *a;  /* borrowed; owns all items */
	struct vec items; /* sorted by path after tree_parse; parents before children */
};

/* Parse, read unions and modules, add parents, sort. out: path that @out@ stands for.
 * -ERR_INVALID for two items of one path. */
int tree_parse(struct arena *a, struct slice text, const char *file, const char *out,
	       struct tree *ret, struct err *e);
void tree_done(struct tree *t);
/* Make the tree as the new directory path. */
int tree_write(const struct tree *t, const char *path, struct err *e);
/* Write it as a cpio archive ("newc"), everything owned by root, times 1. */
int tree_cpio(const struct tree *t, int fd, struct err *e);
