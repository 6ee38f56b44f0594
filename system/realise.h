/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the graph into the store: what is missing is added, in order. */
#pragma once

#include "lib/err.h"
#include "lib/vec.h"
#include "system/graph.h"
#include "system/sources.h"

struct store_conn;

/* Make the item (or .drv) of every result valid, with all it needs. Asks for the results first, so
 * that nothing else is looked at when they are there. */
int realise(struct store_conn *c, struct graph *g, struct sources *s, struct err *e);

/* The .drv paths of the derivations that have to be built for the results, in an order of building.
 */
int realise_missing(struct store_conn *c, struct graph *g, struct vec *ret, struct err *e);
