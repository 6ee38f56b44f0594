/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The nodes that a program in the box makes. A node is named by its kind and what it says, and
 * mentions others by placeholders in that: byte 1, id, perhaps ":" and an output, byte 2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"
#include "lib/str.h"
#include "lib/tab.h"
#include "lib/vec.h"
#include "system/graph.h"

struct made { /* in the C heap */
	char id[NODE_ID_LEN + 1];
	enum node_kind kind;
	char *name;    /* owned */
	char *payload; /* owned */
	size_t size;
	struct made **deps; /* owned */
	size_t ndeps;
	char **outputs; /* owned; NULL-terminated; NULL: no derivation */
	bool wanted;
};

struct made_list {
	struct vec nodes; /* struct made, in order of making; owned */
	struct tab by_id;
};

void made_free(struct made *m); /* NULL allowed */

/* The node that a placeholder at p (just after its byte 1) names, NULL when it is none; *ret_end is
 * set after its byte 2. */
struct made *made_find(const struct made_list *l, const char *p, const char *end,
		       const char **ret_end, struct slice *ret_output);

enum made_result {
	MADE_OK,
	MADE_WRONG,  /* *ret_why: the program's fault */
	MADE_MEMORY, /* the limit */
	MADE_BROKEN, /* this machine is out of memory */
};
/* Register *m, which then is the list's; an equal one that is there takes its place. Its size is
 * added to *used. But for MADE_OK it stays the caller's. */
enum made_result made_add(struct made_list *l, struct made **m, size_t *used, uint64_t limit,
			  const char **ret_why);

/* What a text mentions, and all that needs, is for the result. */
void made_want(struct made_list *l, struct slice text);
/* How many are, and each: id, kind, payload. */
void made_write(const struct made_list *l, struct str *out);
