/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A connection to a build daemon: what the files of the client share. A request is begun, its
 * arguments are put into the stream, it is finished, and the reply read; conn_done() says whether
 * all of that went well. */
#pragma once

#include "store/build/progress.h"
#include "store/format/protocol.h"
#include "store/format/stream.h"
#include "store/remote/client.h"

struct store_conn {
	struct stream s;
	pid_t child;	/* embedded daemon; 0: none */
	struct arena a; /* the strings below */
	char *root, *store_dir, *state_dir, *log_dir;
	struct store_opts opts;
	bool options_sent;
	struct progress *progress; /* during a build */
	client_feed_fn *feed;	   /* during an import */
	void *feed_arg;
	struct str got; /* of an export: one piece, */
	size_t got_at;	/* and what of it was read */
};

/* Earlier failures stick, options go first. */
int conn_begin(struct store_conn *c, enum proto_op op, struct err *e);
/* Send the request and read messages up to its end; the reply follows in the stream. */
int conn_finish(struct store_conn *c, struct err *e);
int conn_done(struct store_conn *c, struct err *e);

/* Requests about one path, those that are answered with a list or a path, and about everything. */
int conn_ask_path(struct store_conn *c, enum proto_op op, const char *path, struct err *e);
int conn_ask_list(struct store_conn *c, struct arena *a, enum proto_op op, const char *path,
		  struct vec *ret, struct err *e);
int conn_ask_all(struct store_conn *c, struct arena *a, enum proto_op op, struct vec *ret,
		 struct err *e);
/* conn_finish(), and the path that is the reply. */
int conn_reply_path(struct store_conn *c, struct arena *a, char **ret, struct err *e);
void conn_put_strings(struct store_conn *c, const char *const *v, size_t n);

/* Why nothing can be read or written any more. */
int conn_broken(struct store_conn *c, struct err *e);
/* What follows ERROR. */
int conn_read_error(struct store_conn *c, struct err *e);
/* With two stores at hand it matters which one has the fault: another machine's is named. */
int conn_name_remote(struct store_conn *c, int r, struct err *e);
