/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Roots of the garbage collector: links under gcroots and profiles, and what processes use. */
#pragma once

#include "store/local/local.h"

struct root {
	const char *link;   /* logical path of the link, or "{temp:PID}", "{/proc/PID/exe}"… */
	const char *target; /* store item */
};

/* Register link, an absolute path as the caller sees it (physical), as an indirect root:
 * gcroots/auto/NAME -> link. The link itself must exist already; one that cannot be read, by us or
 * by uid ((uid_t)-1: nobody else), is not added. */
int roots_add_indirect(struct local *l, const char *link, uid_t uid, gid_t gid, struct err *e);
/* All direct and indirect roots; struct root * in ret. One that cannot be read, or not within
 * ROOTLINK_SECONDS, is what it was before; when that is not known it is an error. locked: the
 * caller has the collector's lock to itself; then stale entries of gcroots/auto go. */
int roots_find(struct local *l, bool locked, struct arena *a, struct vec *ret, struct err *e);
/* Items that running processes name in exe, cwd, root, fd, maps, environ, of those that are wanted,
 * each once. Unreadable ones are skipped. */
typedef bool roots_wanted_fn(void *arg, struct slice item);
int roots_runtime(struct local *l, struct arena *a, roots_wanted_fn *wanted, void *arg,
		  struct vec *ret, struct err *e);
/* Items of the temporary root files; files of dead processes go. The descriptors kept in *ret_fds
 * hold off their owners until roots_temp_done. */
struct roots_temp {
	int *fds; /* owned */
	size_t n;
};
int roots_temp(struct local *l, struct arena *a, struct vec *ret, struct roots_temp *ret_held,
	       struct err *e);
void roots_temp_done(struct roots_temp *t);
