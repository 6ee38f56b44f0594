/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What people note about generations, in /var/guix/profiles/system.notes: that one is to stay, and
 * what it is called in lists and in the boot menu. A note names the system, too: a number is given
 * again when the newest generation was deleted, a note is not.
 */
#pragma once

#include "lib/vec.h"
#include "system/generation.h"

struct note_of {
	uint64_t number;
	const char *path;
	bool pinned;
	const char *const *label; /* one word, or none */
};

/* Struct note_of in arena. No file is an empty list. */
int notes_load(const struct sys_root *r, struct arena *a, struct vec *ret, struct err *e);
/* Fill in the list, as far as the notes can be read. */
void notes_apply(const struct sys_root *r, struct arena *a, struct gen_list *list);
/* Write what the list says of its generations; those of others are dropped. On disk when this
 * returns. -ERR_INVALID: a label cannot be one. */
int notes_save(const struct sys_root *r, const struct gen_list *list, struct err *e);
/* Note, or forget, that generation number is only tried out: in system.tried, lines "NUMBER ITEM",
 * apart from the notes since programs of before that file refuse notes that they do not know. On
 * disk when this returns. */
int notes_set_tried(const struct sys_root *r, unsigned number, bool tried, struct err *e);
