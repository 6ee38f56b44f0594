/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reference scanning: which of a set of store paths a byte stream names. A hit is any run of 32
 * characters of the base32 alphabet that equals the hash part of a candidate; the runs may lie
 * across the borders of the pieces given.
 */
#pragma once

#include "store/store.h"

struct scan;

/* candidates: store paths, borrowed until scan_free. Two with one hash part: -ERR_INVALID. */
int scan_new(const char *store_dir, const char *const *candidates, size_t n, struct scan **ret,
	     struct err *e);
void scan_free(struct scan *s); /* NULL allowed */
void scan_add(struct scan *s, const void *p, size_t n);
/* The candidates seen so far, sorted; the strings are the caller's own candidates. */
void scan_found(const struct scan *s, struct vec *ret);
/* Forget what was seen, keep the candidates: for the next output of the same build. */
void scan_reset(struct scan *s);

/* One read of dirfd/path: SHA-256 and size of its NAR, and the references in it. */
int scan_tree(struct scan *s, int dirfd, const char *path, struct digest *ret, uint64_t *ret_size,
	      struct err *e);
