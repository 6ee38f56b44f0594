/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"

/*
 * Parse what a builder finds in a file of exportReferencesGraph: for each item its path, a deriver
 * (empty), the number of references, the references. ret: struct store_info * sorted by path, with
 * hash and size still zero, time 1 and no deriver; closed under references.
 */
int closure_parse(struct arena *a, const char *store_dir, struct slice text, struct vec *ret,
		  struct err *e);

/* The same from a file. */
int closure_load(struct arena *a, const char *store_dir, const char *file, struct vec *ret,
		 struct err *e);

struct store_conn;
struct tab;

/* The closure of a valid path, as closure_parse() gives it; want: store path -> struct digest *,
 * the hashes that the store knows. */
int closure_query(struct arena *a, struct store_conn *conn, const char *path, struct vec *ret,
		  struct tab *want, struct err *e);
