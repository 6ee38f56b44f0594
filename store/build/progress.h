/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a person sees of a build: the daemon's trace lines turned into one line that is redrawn on
 * a terminal, or into plain lines elsewhere. All output goes to standard error.
 */
#pragma once

#include <stdbool.h>

#include "lib/slice.h"

struct progress;

struct progress_opts {
	bool quiet;	  /* only failures */
	bool verbose;	  /* also what builders print */
	const char *root; /* put before log paths; borrowed */
	const char *what; /* shown on a terminal while nothing is built; borrowed; NULL: nothing */
	/* Remarks go there, and are not shown; NULL: they are. */
	void (*remark)(void *arg, struct slice line);
	void *arg;
	bool mute; /* messages are not for a person */
	bool raw;  /* what builders print, as it is, and remarks, but no report of them */
};

struct progress *progress_new(const struct progress_opts *o); /* NULL: no memory */
void progress_text(struct progress *p, struct slice text);    /* of one log message */
void progress_tick(struct progress *p);			      /* about once a second */
void progress_free(struct progress *p);			      /* clears the line; NULL allowed */
