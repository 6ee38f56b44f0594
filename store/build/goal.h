/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Builds of a request: the graph of derivations, what of it must be made, in which order, how many
 * at once. Derivations whose successors form the longest chain go first.
 */
#pragma once

#include "lib/tab.h"
#include "store/format/protocol.h"
#include "store/daemon/session.h"

/* Make things valid: "P.drv", "P.drv!out,lib", or a path that must be valid already. The status of
 * a failure for the client goes to *ret_status: PROTO_STATUS_x, or 1. */
int goal_build(struct session *s, const struct vec *things, enum proto_mode mode, int *ret_status,
	       struct err *e);

/* Build one derivation that need not be in the store; it has no inputs but sources, which must be
 * valid. *ret_built: it was not valid before. */
int goal_build_drv(struct session *s, const char *path, struct drv *drv, enum proto_mode mode,
		   bool *ret_built, struct err *e);

/* What goal_build would have to make of things, and what it could not: .drv paths in ret_build,
 * store paths in ret_unknown; in a. assumed: paths that
 * count as valid; NULL: none. */
int goal_missing(struct session *s, struct arena *a, const struct vec *things,
		 const struct tab *assumed, struct vec *ret_build, struct vec *ret_unknown,
		 struct err *e);
