/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packages by name, for the commands that users give: from names to targets and texts
 * (system/packages.lua), and a profile's item from packages that are in the store. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"
#include "system/eval.h"
#include "system/profile.h"

struct packages_request {
	const struct sys_eval_opts *eval; /* borrowed */
	const char *action;		  /* of system/packages.lua: targets, development, texts */
	const struct vec *names;	  /* "hello", "git:lib"; NULL: none */
	const char *file;		  /* Lua file that returns a list of packages; NULL: none */
};

/* Evaluate. The caller frees *ret_ev. */
int packages_evaluate(const struct packages_request *q, struct sys_eval **ret_ev, struct err *e);
/* Results "1", "1 name", … as entries; struct profile_entry in a, texts borrowed from ev. */
int packages_entries(const struct sys_eval *ev, struct arena *a, struct vec *ret, struct err *e);
/* The text of result i, from 1; "" when there is none. */
const char *packages_text(const struct sys_eval *ev, unsigned i, const char *field);

/* Make the link of a new generation of p to the valid item, and then the visible switch to it.
 * Tells the daemon of the link where collections do not look by themselves. */
int profile_commit(struct profile *p, struct store_conn *c, const char *item, unsigned *ret_number,
		   struct err *e);

/* The item of a profile that holds these: a union of the whole items and the file "manifest". All
 * of them must be valid. A file that two of them have and that differs is an error that names both.
 * Result in a. */
int profile_build(struct store_conn *c, const struct sys_eval_opts *eval, const struct vec *entries,
		  struct arena *a, char **ret, struct err *e);
