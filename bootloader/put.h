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
};

/* When this returns 0 the boot loader reads the new text, and everything written before to the file
 * system of dir; on failure or after a crash it reads the old one. */
int menu_put(const struct menu_place *p, const struct str *text, struct err *e);
/* What is written to the file system of fd is where a boot loader finds it. */
int menu_flush(const struct menu_place *p, int fd, struct err *e);
/* The text in place; none: nothing is added to out. */
int menu_get(const struct menu_place *p, struct str *out, struct err *e);
/* Is that the text in place? */
bool menu_is_present(const struct menu_place *p, const struct str *text);
/* Is the directory the root of a file system? A scratch directory inside a larger one is nothing a
 * boot loader could start from. */
bool menu_is_mount_root(int fd);
