/* SPDX-License-Identifier: GPL-3.0-or-later */
/* HTTP and FTP: files whose hash is known, and narinfos and archives of caches, of which nothing
 * is. Only this file's .c knows libcurl. */
#pragma once

#include <stdint.h>

#include "store/store.h"

/* For how many seconds a transfer may be slower than a kilobyte a second, from now on in this
 * process; 30 in the beginning. */
void transfer_set_patience(long seconds);
/* Add url without user name and password, for messages. */
void transfer_add_url(struct str *out, const char *url);

typedef void transfer_progress_fn(void *arg, const char *url, uint64_t total, uint64_t done);

struct transfer {
	const char *url;
	int fd; /* borrowed: the file, from its beginning; what is there is gone on with */
	const char *name; /* of it, in messages */
	uint64_t limit;	  /* bytes */
	enum digest_algo algo;
	transfer_progress_fn *progress; /* NULL: none */
	void *arg;
	/* what came of it */
	struct digest digest; /* of the whole file */
	uint64_t have;	      /* bytes that were there already */
	bool passing;	      /* the failure may be gone in a moment */
	bool no_range;	      /* the server begins at the beginning or not at all */
	/* private */
	struct hasher *h;
	uint64_t left; /* bytes that may come yet */
	bool over;     /* more came */
	int write_err;
	uint64_t told; /* ns */
};

/* proxy: NULL for what the environment says. -ERR_FETCH: it is not to be had from there. */
int transfer_run(struct transfer *t, const char *proxy, struct err *e);
/* -ERR_FETCH, that a file is larger than limit. */
int transfer_too_large(uint64_t limit, struct err *e);

/* http, https; file, which is no link, where the caller allows it. */
bool transfer_url_ok(const char *url, bool file);

#define TRANSFER_WHY 160

struct transfer_answer {
	const char *url;
	/* what came of it */
	int status;		/* of HTTP; 200 for a file; 0: no answer */
	int64_t max_age;	/* seconds it may be remembered; -1: not told */
	char why[TRANSFER_WHY]; /* no answer came; "" when nobody was asked */
	struct str body;	/* owned; of a status of 200 */
};

/* Ask for all at once, some at the same time; none may be larger than limit. A host that cannot be
 * reached is asked no more. */
int transfer_answers(struct transfer_answer *v, size_t n, size_t limit, struct err *e);

/* One large answer as it comes, at most limit bytes; what is cut short is taken up where it
 * ended. */
struct transfer_stream;
int transfer_stream_open(const char *url, uint64_t limit, struct transfer_stream **ret,
			 struct err *e);
/* Some bytes; 0 at the end. */
ssize_t transfer_stream_read(struct transfer_stream *s, void *p, size_t n, struct err *e);
void transfer_stream_close(struct transfer_stream *s); /* NULL allowed */
