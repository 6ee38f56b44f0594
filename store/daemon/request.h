/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One request of a client while it is answered: its arguments, its reply, and the tables of
 * operations. */
#pragma once

#include "lib/vec.h"
#include "store/format/dialect.h"
#include "store/format/protocol.h"
#include "store/daemon/session.h"

struct req {
	struct session *s;
	struct stream *in; /* = &s->stream */
	struct arena a;
	struct str reply; /* sent after LAST */
	struct err e;
	int status;	 /* of the error message */
	const char *nar; /* valid path whose archive follows the reply; NULL: none */
};

/*
 * Arguments first: an operation reads them all, then request_ready() says whether they were whole.
 * Only from there on may errors leave the connection open.
 */
int request_ready(struct req *q);
char *request_text(struct req *q, size_t max);
char *request_path(struct req *q);
/* request_ready, and a store path argument is refused before anything is done when it is none. */
int request_check_path(struct req *q, const char *path);
int request_check_paths(struct req *q, const struct vec *v);
/* -ERR_NOTVALID, in the words that clients know, unless path is valid. */
int request_need_valid(struct req *q, const char *path);
/* Whether paths are valid, after waiting for other connections that are about to make them so. */
bool request_await(struct req *q, const struct vec *paths);

void reply_list(struct req *q, const struct vec *v);
void reply_words(struct req *q, const char *text); /* blank-separated; NULL: none */
void reply_sorted(struct req *q, struct vec *v);   /* sorts v, without repetitions */

#define OP_GUIX (1U << DIALECT_GUIX)
#define OP_NIX	(1U << DIALECT_NIX)
#define OP_BOTH (OP_GUIX | OP_NIX)

struct op {
	uint64_t op;
	unsigned in; /* dialects that have it */
	int (*fn)(struct req *q);
};

/* Each ends with fn NULL. */
extern const struct op ops_query[], ops_change[], ops_settings[], ops_export[], ops_nix[],
	ops_basic[];
