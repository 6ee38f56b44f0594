/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Profiles of users: links to generations (system/links.h), and what an item says about itself in
 * its file "manifest":
 *
 *	[package hello]
 *	version = 2.0
 *	output = out
 *	path = /gnu/store/…-hello-2.0
 *
 * Reading and switching need no daemon. A machine's own profile (system) is system/generation.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "lib/vec.h"
#include "system/links.h"

#define PROFILE_PER_USER    "/profiles/per-user"
#define PROFILE_USER	    "cairn-profile"  /* of a user, below PROFILE_PER_USER/USER */
#define PROFILE_HOME_LINK   ".cairn-profile" /* in the home directory, to the above */
#define LIMIT_PROFILE_TEXT  (4u << 20)
#define LIMIT_PROFILE_WORDS 10000

struct profile_entry {
	const char *name, *version, *output; /* version "" when it has none */
	const char *path;		     /* logical store path */
};

struct profile {
	struct arena arena;
	struct links links; /* in arena; store is "" or the private root */
	int lock;	    /* -1: none */
	struct vec gens;    /* struct links_item, ascending; in arena */
	unsigned current;   /* 0: none */
};

#define PROFILE_INIT                                                                               \
	{                                                                                          \
		.arena = ARENA_INIT, .lock = -1, .gens = VEC_INIT                                  \
	}

/* The profile whose link is the physical path link. change: take its lock, with verb in the text of
 * the lock, -ERR_IN_USE naming the holder when it is taken; the directory must exist. Nothing there
 * is a profile without generations. */
int profile_open(struct profile *p, const char *link, const char *root, const char *store_dir,
		 bool change, const char *verb, struct err *e);
void profile_done(struct profile *p);
static inline void profile_cleanup(struct profile *p)
{
	profile_done(p);
}
#define auto_profile __attribute__((cleanup(profile_cleanup)))

const struct links_item *profile_find(const struct profile *p, unsigned number); /* NULL: none */
const struct links_item *profile_current(const struct profile *p);		 /* NULL: none */
/* -ERR_INVALID when the profile leads to a generation that is not there: it has contents then, but
 * nobody knows which. */
int profile_check(const struct profile *p, struct err *e);
bool profile_pattern_is_age(const char *pattern);
/* Whether pattern (7, 2..5, lists of these with commas, or a duration such as 30d: made longer ago
 * than that) means g. -ERR_USAGE. */
int profile_matches(const struct links_item *g, const char *pattern, int64_t now, bool *ret,
		    struct err *e);
unsigned profile_next(const struct profile *p); /* above every existing one */
/* Physical path of the link of generation number, of the profile itself; NULL without memory. */
char *profile_gen_link(struct profile *p, unsigned number);
char *profile_link(struct profile *p);
/* Rename the profile link to generation number, remove it; on disk when they return. */
int profile_select(struct profile *p, unsigned number, struct err *e);
int profile_deselect(struct profile *p, struct err *e);
int profile_remove(struct profile *p, unsigned number, struct err *e);

/* The packages of an item, in its order: struct profile_entry in p's arena. */
int profile_manifest(struct profile *p, const char *item, struct vec *ret, struct err *e);
/* The text of such a file. */
void profile_manifest_text(const struct vec *entries, struct str *out);
