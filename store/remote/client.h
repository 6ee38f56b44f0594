/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of the client's side others use in this directory. */
#pragma once

#include <stdbool.h>

#include "store/store.h"

/* dir, or what it means in the working directory; NULL: there is none, or no memory. */
char *client_absolute(struct arena *a, const char *dir);
/* A connection to the daemon's socket at path, however long it is. */
int client_connect(const char *path, int *ret, struct err *e);

/*
 * Items with what the store knows of them, as store/local/export.h says. An export is begun, then
 * read until *ret is 0; nothing else may be asked in between.
 */
int client_export_begin(struct store_conn *c, const char *path, bool sign, struct err *e);
int client_export_read(struct store_conn *c, void *p, size_t n, size_t *ret, struct err *e);
/* A bundle, which feed gives piece by piece; *ret 0 is its end. Paths that were added, in a. */
typedef int client_feed_fn(void *arg, void *p, size_t n, size_t *ret, struct err *e);
int client_import(struct store_conn *c, struct arena *a, client_feed_fn *feed, void *arg,
		  struct vec *ret_paths, struct err *e);
