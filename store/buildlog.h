/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Logs of builds: LOGDIR/drvs/XX/REST.gz, in stores of Nix's family and by choice REST, where
 * XXREST is the base name of the derivation. Only this file's .c knows zlib.
 */
#pragma once

#include <stddef.h>

#include "lib/str.h"
#include "store/local.h"

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
