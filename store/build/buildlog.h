/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Logs of builds: LOGDIR/drvs/XX/REST.gz, in stores of Nix's family and by choice REST, where
 * XXREST is the base name of the derivation. Only this file's .c knows zlib.
 */
#pragma once

#include <stddef.h>

#include "lib/str.h"
#include "store/local/local.h"

struct buildlog;

/* Start the log of drv, replacing the one of an earlier build. plain: without compression. */
int buildlog_open(struct local *l, const char *drv, bool plain, struct buildlog **ret,
		  struct err *e);
void buildlog_add(struct buildlog *b, const void *p, size_t n); /* errors stick; NULL allowed */
/* Finish and free; NULL allowed. */
int buildlog_close(struct buildlog *b, struct err *e);
/* Logical path of drv's log in Guix's spelling, with its doubled slash. */
void buildlog_path(const struct local *l, const char *drv, bool plain, struct str *out);
/* Contents of a log file (physical path), gzip or plain; at most limit bytes. */
int buildlog_read(const char *file, struct str *out, size_t limit, struct err *e);
/* The log file below log_dir (physical) of item, a derivation or what one made: physical, in a.
 * -ERR_NOTFOUND. */
int buildlog_find(struct store_conn *c, struct arena *a, const char *log_dir, const char *item,
		  const char **ret, struct err *e);
