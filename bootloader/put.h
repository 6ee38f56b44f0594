/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include <stdbool.h>

#include "lib/err.h"
#include "lib/str.h"

/* A text that a boot loader reads, and that changes whole or not at all. */
struct menu_place {
	int dir;	  /* of the menu */
	const char *name; /* of the menu there */
	bool flush;	  /* past the journal, too: a boot loader can read this root */
	bool pair;	  /* the text is in one of two files, of which the newer counts (pair.c) */
};

/* When this returns 0 the boot loader reads the new text, and everything written before to the file
 * system of dir; on failure or after a crash it reads the old one. */
int menu_put(const struct menu_place *p, const struct str *text, struct err *e);
/* All of the file system of a directory, and then a flush of its disk: syncfs() sends none on FAT.
 * -1 and errno. */
int menu_sync(int fd);
/* What is written to the file system of fd is where a boot loader finds it. */
int menu_flush(const struct menu_place *p, int fd, struct err *e);
/* The text in place; none: nothing is added to out. */
int menu_get(const struct menu_place *p, struct str *out, struct err *e);
/* Is that the text in place? */
bool menu_is_present(const struct menu_place *p, const struct str *text);
/* A file that is not there yet, complete and on the disk; what is read back is what was written. */
int menu_write_new(int dir, const char *name, const struct str *text, struct err *e);
/* The same into a file that may be there, which keeps its place in the directory; a failure leaves
 * it half written. */
int menu_write_over(int dir, const char *name, const struct str *text, struct err *e);
/* menu_put() and menu_get() of a menu in two files. */
int pair_put(const struct menu_place *p, const struct str *text, struct err *e);
int pair_get(const struct menu_place *p, struct str *out, struct err *e);
/* Gives the file new the name of another, or of none, and the other its name: on FAT, where
 * rename(2) would free the clusters of the other before it is sure that nobody reads them any more.
 * Flush, then remove new. Where a kernel cannot do that it is a rename. */
int boot_exchange(int dir, const char *new, const char *name, struct err *e);
/* Have both names the same clusters? A cut in an exchange can leave that, and to remove one
 * would damage the other. */
bool boot_is_twin(int dir, const char *name, const char *other);
/* Is the directory the root of a file system? A scratch directory inside a larger one is nothing a
 * boot loader could start from. */
bool menu_is_mount_root(int fd);
