/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A command in namespaces of its own (user, mount, pid, ipc, uts, network), which sees some items
 * of the store, read-only, one directory, and nothing else of this machine. Needs no privileges.
 */
#pragma once

#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"

struct store_conn;

struct container {
	const char *root;	 /* "" or the private root in front of the items */
	const struct vec *items; /* logical paths, closed under references */
	const char *share;	 /* directory that is seen at its place, writable; NULL: none */
	const char *shell;	 /* what /bin/sh leads to; NULL: there is none */
	bool network;		 /* that of this machine */
	char *const *argv;
};

/* All that items need, themselves among it, sorted; strings in a. */
int container_closure(struct store_conn *c, struct arena *a, const struct vec *items,
		      struct vec *ret, struct err *e);
/* Run it, with our environment. *ret_status: exit status; 128 + N for signal N. */
int container_run(const struct container *c, int *ret_status, struct err *e);
