/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading the files of the logger (logfile.h tells their names): the lines of several services,
 * merged by time, over rotated and compressed files, as they were and as they come.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"

#define LOG_STAMP_LEN 24 /* "2026-01-31T23:59:59.123Z": later is greater, byte by byte */

struct log_line { /* lives until the next call */
	const char *name;
	const char *stamp;
	struct slice text; /* without newline */
};

struct log_reader;

/* Read in dir the logs of names, all that are there when n is 0; missing ones may come. */
int log_reader_new(const char *dir, char *const *names, size_t n, struct log_reader **ret,
		   struct err *e);
void log_reader_free(struct log_reader *r); /* NULL allowed */
/* The earliest line of those that are next. 1, 0 when there is none now, or a negative code. last:
 * an unfinished line at the end counts. */
int log_reader_next(struct log_reader *r, bool last, struct log_line *ret, struct err *e);
/* Until something was written. */
int log_reader_wait(struct log_reader *r, struct err *e);
/* Files that could not be read; each was named on standard error. */
size_t log_reader_bad(const struct log_reader *r);
/* Names of what has a log in dir: sorted, added to out, each owned by the caller. A missing
 * directory has none. */
int log_reader_names(const char *dir, struct vec *out, struct err *e);
/* The number of the latest of the boots in dir/boots; 0: none. */
uint64_t log_reader_boots(const char *dir);
