/* SPDX-License-Identifier: GPL-3.0-or-later */
/* File systems made by a program that reads a tar stream: owners, modes and times are those of the
 * manifest.
 */
#pragma once

#include "image/contents.h"
#include "lib/err.h"

struct tarpipe_opts {
	const char *const *argv; /* of the program, which reads the stream from its input */
	const char *const *envp;
	const char *file; /* what it makes */
	unsigned flags;	  /* TARBALL_… */
};

/* Run the program on c, whose manifest is made: one pass. On failure the file is removed. */
int tarpipe_run(const struct tarpipe_opts *o, struct contents *c, struct err *e);
