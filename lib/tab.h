/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Hash table from byte-string keys to pointers: open addressing, power of two sizes. Keys are
 * borrowed and must outlive the table (an arena usually owns them). Values are the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct tab_slot {
	struct slice key; /* borrowed; key.p == NULL: free */
	uint64_t hash;
	void *value;
};

struct tab {
	struct tab_slot *slots; /* owned */
	size_t cap, count;
	int err; /* 0 or -ENOMEM; sticky */
};

#define TAB_INIT                                                                                   \
	{                                                                                          \
		NULL, 0, 0, 0                                                                      \
	}

/* Slot of key, added with value NULL when absent; *ret_new (may be NULL) tells. NULL: no memory. */
void **tab_put(struct tab *t, struct slice key, bool *ret_new);
/* Value of key or NULL. */
void *tab_find(const struct tab *t, struct slice key);
bool tab_has(const struct tab *t, struct slice key);
bool tab_del(struct tab *t, struct slice key);
/* Iterate: start with *i = 0; NULL at the end. The order is that of the hash, not of insertion. */
struct tab_slot *tab_next(const struct tab *t, size_t *i);
void tab_done(struct tab *t);

static inline void tab_cleanup(struct tab *t)
{
	tab_done(t);
}
#define auto_tab __attribute__((cleanup(tab_cleanup)))
