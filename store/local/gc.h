/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Garbage collection of a local store. */
#pragma once

#include "store/local/local.h"

struct gc_request {
	enum store_gc action;
	const char *const *paths; /* of STORE_GC_DELETE_THESE */
	size_t npaths;
	uint64_t max_freed;	   /* stop after this many bytes; UINT64_MAX: no limit */
	bool keep_outputs;	   /* outputs of live derivations live */
	bool drop_derivations;	   /* derivations of live outputs may go */
	bool ignore_liveness;	   /* never allowed to remote clients */
	local_report_fn *progress; /* NULL: quiet */
	local_stop_fn *stop;	   /* NULL: until it is done; else trash may be left */
	void *arg;
};

/* ret_paths: the live, the dead, or the deleted paths, sorted, in arena. */
int gc_run(struct local *l, struct arena *a, const struct gc_request *req, struct vec *ret_paths,
	   uint64_t *ret_bytes, struct err *e);
