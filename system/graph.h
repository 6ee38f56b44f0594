/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The graph of nodes an evaluation gives: how it travels from the boxed child, and how the parent
 * turns it into store paths.
 *
 * A node is named by a hash of its own description, so equal nodes are one node, and the name does
 * not depend on the order of evaluation. A description mentions other nodes by placeholders inside
 * its strings:  \1 ID [ ":" OUTPUT ] \2  with ID 32 hex digits. Nodes travel in an order in which
 * every node comes after those it mentions: the parent refuses anything else, so there are no
 * cycles.
 *
 * Wire: u64 count of nodes, nodes, u64 count of results, results.
 *	node   = str ID, u64 kind, str payload
 *	result = str key, bool target, str text
 *	payload of	DRV	name system builder algo hash mode [outputs] [args] [key value …]
 *[inputs] SOURCE	name root path [patterns] TEXT	name contents FIXED	name nar-sha256 root
 *path as executable [urls] sha256 member SELF	name [patterns] A list is u64 count, then strings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "lib/tab.h"
#include "store/store.h"

/* Messages of the child; the parent answers the first three. */
enum eval_msg {
	EVAL_MSG_READ = 2, /* u64 root, str path: contents of a file */
	EVAL_MSG_EXISTS,   /* u64 root, str path: is there a file or directory */
	EVAL_MSG_NEAREST,  /* u64 root, str path of a module that is not there: the likeliest one */
	EVAL_MSG_LOG,	   /* text */
	EVAL_MSG_ERROR,	   /* text; the last message */
	EVAL_MSG_RESULT,   /* graph; the last message */
	EVAL_MSG_FILE,	   /* answer: contents */
	EVAL_MSG_NOFILE,   /* answer: there is none */
	EVAL_MSG_REFUSED,  /* answer: why not */
};

#define LIMIT_EVAL_RESULT  ((size_t)256 << 20)
#define LIMIT_EVAL_FILE	   ((size_t)4 << 20)
#define LIMIT_EVAL_NODES   100000
#define LIMIT_EVAL_STRING  ((size_t)16 << 20)
#define LIMIT_EVAL_LIST	   100000
#define LIMIT_EVAL_ROOTS   2
#define CONFIGURATION_ROOT 1 /* 0: the modules */

enum node_kind { NODE_DRV, NODE_SOURCE, NODE_TEXT, NODE_FIXED, NODE_SELF, NODE_MAX };
#define NODE_ID_LEN 32

struct strings {
	struct slice *v;
	size_t n;
};

struct node {
	struct slice id;
	enum node_kind kind;
	struct slice name;
	struct strings list; /* SOURCE, SELF: patterns; FIXED: urls */
	uint64_t root;	     /* SOURCE, FIXED: which directory path is below */
	struct slice path;
	struct slice contents;	   /* TEXT, placeholders replaced */
	struct slice member, as;   /* FIXED */
	struct digest nar, sha256; /* FIXED */
	bool executable, has_sha256;
	struct drv *drv;      /* DRV; outputs filled */
	struct digest modulo; /* DRV */
	const char *store;    /* store path of the item, or of the .drv */
	const char **refs;    /* TEXT: store paths, sorted */
	size_t nrefs;
	struct node **deps; /* all nodes mentioned */
	size_t ndeps;
	bool wanted; /* realise.c: has to be added */
};

struct graph_result {
	struct slice key;
	const char *value; /* expanded */
	struct node *node; /* target: the node; else NULL */
	const char *output;
	bool note; /* no result: what the program notes of itself (doc/lua.md) */
};

struct graph {
	struct arena arena; /* owns everything */
	const char *store_dir;
	struct node **nodes; /* in order */
	size_t nnodes;
	struct tab by_id;
	struct graph_result *results;
	size_t nresults;
};

/* Digest of the NAR of a SOURCE or SELF node; provided by the caller, who knows the directories. */
typedef int graph_hash_fn(void *arg, const struct node *n, struct digest *ret, struct err *e);

/* Parse a message of type EVAL_MSG_RESULT (borrowed, must outlive g) and compute all paths. */
int graph_load(struct graph *g, const char *store_dir, struct slice msg, graph_hash_fn *hash,
	       void *arg, struct err *e);
void graph_done(struct graph *g);
