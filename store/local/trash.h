/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * STORE/trash: items go there by one rename while others wait, and from there for good while nobody
 * does. What a collection that was interrupted left in it goes with the next one.
 */
#pragma once

#include "store/local/links.h"
#include "store/local/local.h"

struct trash {
	struct local *l; /* borrowed */
	int lock;	 /* owned: one process at a time */
	int fd;		 /* owned; -1: no room for it, things are deleted where they are */
	unsigned serial;
	uint64_t bytes; /* freed so far */
	struct links_lost lost;
	local_stop_fn *stop; /* borrowed; NULL: never */
	void *arg;
	size_t failed; /* things that could not be deleted */
	struct err first;
};

#define TRASH_NAME "trash"

/* Wait until no other process deletes, and delete what is left over. May take long: to be called
 * before others are held off. stop, may be NULL: -EINTR, and what is in the trash stays. */
int trash_open(struct trash *t, struct local *l, local_stop_fn *stop, void *arg, struct err *e);
/* Store item or rubbish name. A failure is counted. */
void trash_take(struct trash *t, const char *name);
/* Delete all that was taken, and links that nothing uses any more. */
int trash_empty(struct trash *t, struct err *e);
/* -EIO when things could not be deleted: how many, and the reason of the first. */
int trash_verdict(const struct trash *t, struct err *e);
void trash_close(struct trash *t);
