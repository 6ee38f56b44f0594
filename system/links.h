/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A link NAME -> NAME-N-link -> item, and such a numbered link for each generation beside it. To
 * switch is to rename one link. Generations of a machine (system/generation.h) and profiles of
 * users (system/profile.h) are both kept in this way.
 */
#pragma once

#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"

#define LINKS_NUMBER_MAX 999999
#define LIMIT_LINKS	 4096

struct links {		       /* all borrowed */
	const char *root;      /* "" or what stands in front of dir */
	const char *dir;       /* of the links */
	const char *name;      /* of the one that leads to a numbered one */
	const char *store;     /* "" or what may stand in front of an item that a link names */
	const char *store_dir; /* logical: where items are */
};

struct links_item {
	unsigned number;  /* from 1 */
	const char *path; /* logical store path of the item */
	int64_t date;	  /* Unix seconds: when its link was made */
};

/* "NAME-12-link" -> 12; 0: another name. */
unsigned links_number(const struct links *l, const char *file);
/* Path of the link of a number, of the one that leads to it; NULL without memory. */
char *links_path(const struct links *l, struct arena *a, unsigned number);
char *links_head(const struct links *l, struct arena *a);

/* All numbered links, ascending: struct links_item in arena. No directory: none. */
int links_load(const struct links *l, struct arena *a, struct vec *ret, struct err *e);
/* What the link NAME holds, in arena; NULL when there is no such link. */
int links_selected(const struct links *l, struct arena *a, const char **ret, struct err *e);

/* Make NAME-N-link, remove it, rename NAME to it, remove NAME; on disk when they return. */
int links_make(const struct links *l, unsigned number, const char *path, struct err *e);
int links_remove(const struct links *l, unsigned number, struct err *e);
int links_select(const struct links *l, unsigned number, struct err *e);
int links_deselect(const struct links *l, struct err *e);

/* The lock for changes, NAME.lock in an existing directory, with verb in its text. -ERR_IN_USE when
 * another command has it: "WHAT is being changed by", its process, verb and time. *ret_fd holds it
 * until closed. */
int links_lock(const struct links *l, const char *what, const char *verb, int *ret_fd,
	       struct err *e);

/* What a link holds, in arena; NULL when there is no link. */
int links_read(struct arena *a, const char *link, const char **ret, struct err *e);
