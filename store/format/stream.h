/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Buffered socket in the wire encoding (lib/wire.h): reading pulls bytes as needed, writing
 * collects until a flush. The first failure sticks: later reads give zeros, later writes do
 * nothing. Memory grows with the bytes that arrive, never with a length that was merely claimed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "lib/vec.h"
#include "store/store.h"

struct stream {
	int fd;		   /* owned */
	char *in;	   /* owned buffer */
	size_t pos, len;   /* unread part of in */
	struct str out;	   /* not yet sent */
	int err;	   /* 0, -errno (-ENODATA: the other side closed), -ERR_PROTO, -ERR_LIMIT */
	uint64_t stall_ns; /* give up when no byte moves for so long, either way; 0: wait */
	uint64_t until;	   /* give up then (loop_now), whatever moves; 0: never */
	void (*idle)(void *arg); /* NULL, or called before a longer wait for the other side */
	void *idle_arg;
	size_t left; /* bytes this request may still take in strings; SIZE_MAX: no budget */
};

/* Takes fd in any case. */
int stream_init(struct stream *s, int fd);
void stream_done(struct stream *s);

/* Whether a byte is there; waits. false at a clean end or on error (err tells). */
bool stream_wait(struct stream *s);
void stream_read(struct stream *s, void *p, size_t n);
uint64_t stream_u64(struct stream *s);
uint64_t stream_max(struct stream *s, uint64_t max); /* above max: -ERR_PROTO */
bool stream_bool(struct stream *s);
/* A string of at most max bytes, NUL appended, in a. NULL-safe: the empty string on failure. */
struct slice stream_str(struct stream *s, struct arena *a, size_t max);
/* As stream_str for text that may hold no NUL byte. */
char *stream_cstr(struct stream *s, struct arena *a, size_t max);
/* A list of such texts. */
void stream_list(struct stream *s, struct arena *a, struct vec *ret);

void stream_put_u64(struct stream *s, uint64_t v);
void stream_put_str(struct stream *s, struct slice v);
void stream_put_cstr(struct stream *s, const char *v);
void stream_put_list(struct stream *s, const struct vec *v);
void stream_put_raw(struct stream *s, const void *p, size_t n); /* flushes when much is waiting */
int stream_flush(struct stream *s);

/* A NAR read from, or written to, the stream. The objects live as long as a. Writing goes as it
 * is; the reader takes exactly what the NAR grammar asks for. */
struct nar_source *stream_source(struct stream *s, struct arena *a);
struct nar_sink *stream_sink(struct stream *s, struct arena *a);
