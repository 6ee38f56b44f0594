/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Errors of things that are done one after the other, where one that fails stops none of the rest.
 */
#pragma once

#include "lib/err.h"
#include "lib/str.h"

struct fails {
	struct str text; /* messages, with "; " between them */
	unsigned count;
	int code; /* of the first; 0: none */
};
#define FAILS_INIT                                                                                 \
	{                                                                                          \
		STR_INIT, 0, 0                                                                     \
	}

/* When rc is an error: take its message out of e, which is as if nothing had happened. */
void fails_note(struct fails *f, int rc, struct err *e);
/* All messages as one error with the code of the first; 0 when nothing failed. f is empty then. */
int fails_end(struct fails *f, struct err *e);
