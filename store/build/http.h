/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The server's side of HTTP/1.1, as much as a publisher of files needs: GET and HEAD without a
 * body, one range. A request is at most HTTP_HEAD_MAX bytes, and none is passed on to anybody, so
 * that there is nobody who could read it otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "store/store.h"

#define HTTP_HEAD_MAX 8192

struct http_request {
	bool head; /* HEAD */
	bool keep; /* the connection may go on */
	bool old;  /* HTTP/1.0 */
	bool has_range;
	uint64_t from;	  /* of "Range: bytes=FROM-" */
	const char *path; /* decoded, begins with '/', without a query; in the arena */
};

/* Length of the head with its empty line; 0 while it is not whole. */
size_t http_head_length(struct slice buf);
/* Parse a whole head. 0, or the status of the answer that refuses it. */
int http_parse(struct arena *a, struct slice head, struct http_request *ret);

/* A connection. Nothing is written after the first failure. */
struct http_conn {
	int fd; /* borrowed */
	struct str in;
	int err;
	/* of the answer */
	struct http_request req;
	uint64_t started, sent; /* ns; bytes */
};

/* Whether more of a request is there within ms. */
bool http_ready(const struct http_conn *c, int ms);
/* Wait for a request, parse it; 0, a status, or a negative code at the end of the connection. The
 * head has to come within some seconds. */
int http_next(struct http_conn *c, struct arena *a);
void http_conn_done(struct http_conn *c);

struct http_answer {
	int status;
	const char *type;  /* Content-Type; NULL: text/plain */
	const char *extra; /* whole lines with CRLF; NULL: none */
	uint64_t length;
	bool stream; /* the length is not known */
};

/* The head of an answer; whether a body is wanted. A reader that is slower than some hundred bytes
 * a second is given up. */
bool http_start(struct http_conn *c, const struct http_answer *a);
/* A short answer, whole. */
void http_text(struct http_conn *c, const struct http_answer *a, struct slice body);
/* length bytes of fd from its position on, without copying them through this process. */
void http_file(struct http_conn *c, int fd, uint64_t length);
/* A body of unknown length is written to a sink, and ended. Not ended, it is seen to be cut. */
struct http_sink {
	struct nar_sink sink;
	struct http_conn *c;
};
void http_sink_init(struct http_sink *s, struct http_conn *c);
void http_sink_end(struct http_sink *s);
/* The reason phrase of a status. */
const char *http_reason(int status);
