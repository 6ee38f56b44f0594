/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The questions of the text installer: plain prompts, one line each, for screens and slow serial
 * lines. "back", "shell" and "quit" are understood at every one. Answers are kept in a file, so
 * that an installer that was cut off goes on at the page it was on.
 */
#pragma once

#include "image/setup.h"
#include "lib/err.h"

struct pages_opts {
	const char *state; /* file of the answers so far */
	const char *log;   /* what was done, without passwords */
};

/* Ask everything, then install. *ret_quit: the user left before anything was written. */
int pages_run(struct setup *s, const struct pages_opts *o, bool *ret_quit, struct err *e);
