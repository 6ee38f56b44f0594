/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The map of account numbers, /var/lib/cairn/ids: a name keeps its number for ever, and no number
 *is given to a second name. Lines are only added:
 *
 *	format 1
 *	user NAME NUMBER
 *	group NAME NUMBER
 *	subids NAME START COUNT		of a name with several, the last one counts
 *
 * A machine whose map is lost has the numbers of its /etc/passwd and group instead.
 */
#pragma once

#include "lib/tab.h"
#include "system/accounts.h"

struct id {
	bool is_user;
	const char *name;
	uint64_t number;
};

struct subids {
	const char *name;
	uint64_t start, count;
};

struct ids {
	struct arena a;
	struct vec list;	   /* struct id, in the order they were given */
	struct tab names, numbers; /* "u:NAME", "u:NUMBER" -> struct id */
	struct vec subids;	   /* struct subids, in the order they were given */
	bool grown;		   /* is to be saved */
};
#define IDS_INIT                                                                                   \
	{                                                                                          \
		ARENA_INIT, VEC_INIT, TAB_INIT, TAB_INIT, VEC_INIT, false                          \
	}

void ids_done(struct ids *ids);
int ids_load(const struct sys_root *r, struct ids *ids, struct err *e);
int ids_save(const struct sys_root *r, struct ids *ids, struct err *e);
/* Numbers for all of accounts (vec of struct account). -ERR_INVALID when a fixed one contradicts
 * the map. */
int ids_assign(struct ids *ids, const struct vec *accounts, struct err *e);
struct id *ids_find(struct ids *ids, bool user, const char *name); /* NULL: none */
/* Present range of subordinate numbers; NULL: none was ever given. */
const struct subids *ids_find_subids(const struct ids *ids, const char *name);
