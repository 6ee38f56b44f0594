/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A source whose bytes the client sends piece by piece, each on demand. */
#pragma once

#include "store/format/stream.h"

struct asked {
	struct nar_source source;
	struct stream *s; /* borrowed */
	uint64_t left;	  /* of the piece */
	size_t pad;
};

void asked_init(struct asked *a, struct stream *s);
/* Skip what is left of a piece: what comes after it is the next request. */
void asked_finish(struct asked *a);
