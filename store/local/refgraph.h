/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who refers to whom among all valid items, in memory: questions about the whole store cost two
 * passes over the database, whatever is asked, and no recursion.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/tab.h"
#include "lib/vec.h"
#include "store/local/db.h"

struct refgraph_node {
	int64_t id; /* in the database */
	const char *path, *deriver;
	uint64_t nar_size;
	size_t refs, nrefs; /* part of graph.refs: nodes it refers to */
	size_t outs, nouts; /* part of graph.outputs: valid outputs of a .drv */
	bool marked;
	bool seen;   /* of refgraph_order */
	bool chosen; /* by the caller, for refgraph_choose_referrers */
};

struct refgraph {
	struct arena a;
	struct refgraph_node *nodes; /* owned, ordered by id */
	size_t n, cap;
	size_t *refs, *outputs; /* owned; indices of nodes */
	size_t nrefs, noutputs, refs_cap, outputs_cap;
	struct tab by_path; /* -> struct refgraph_node * */
	size_t at;	    /* while loading */
};

/* outputs: load those of derivations as well. */
int refgraph_load(struct db *db, bool outputs, struct refgraph *ret, struct err *e);
void refgraph_done(struct refgraph *g); /* also of { 0 } */
struct refgraph_node *refgraph_find(const struct refgraph *g,
				    const char *path); /* NULL: not valid */
/* Mark node and all that it reaches: by references, with derivers from an item to what made it,
 * with outputs (if loaded) from a .drv to what it made. -ENOMEM. */
int refgraph_mark(struct refgraph *g, struct refgraph_node *node, bool derivers);
/* The nodes that are not marked, each after everything it refers to. -ENOMEM. */
int refgraph_order(struct refgraph *g, struct vec *ret);
/* Of nodes in that order: choose what refers to a chosen one, directly or not. */
void refgraph_choose_referrers(struct refgraph *g, const struct vec *order);
