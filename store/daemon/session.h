/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What one connection of a client has: its store, its stream, its settings. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/local/local.h"
#include "store/remote/machines.h"
#include "store/policy.h"
#include "store/build/slots.h"
#include "store/format/stream.h"
#include "store/build/workdir.h"

/* An unprivileged id of this machine, taken for builds. */
struct build_id {
	uid_t uid;
	gid_t gid;
	int lock; /* owned; -1: the caller's own id */
	bool busy;
};

/* What a client wants of substitutes; store/subst/subst.h. */
struct subst {
	bool use, fallback;
	char *urls;	     /* owned: its own caches; NULL: the daemon's */
	bool free_urls;	     /* they are of somebody who is not trusted */
	char *keys;	     /* owned: trusted besides the daemon's; NULL */
	struct arena failed; /* paths that failed, during a build */
};

struct session {
	struct local *l;      /* owned */
	struct stream stream; /* owned */
	struct slots *slots;  /* owned */
	struct workdir work;
	enum dialect dialect; /* of the connection */
	uid_t client_uid;     /* from the kernel */
	gid_t client_gid;
	bool trusted;
	/* settings, per connection */
	bool keep_failed, keep_going, trace, multiplexed, plan, busy;
	uint64_t verbosity, build_verbosity;
	uint64_t max_jobs, cores, timeout, max_silent; /* 0: default, all, none, none */
	uint64_t rounds;
	struct policy policy;
	struct machines machines; /* that build for this one */
	bool no_offload;	  /* the client wants none of them */
	struct subst subst;
	struct build_id *ids; /* owned */
	size_t nids;
	bool client_gone;
	struct err lost;   /* additions that were answered and could not be made valid */
	bool hosts_loaded; /* what is known of hosts out of reach */
};

/* One STDERR_NEXT message, held until the next flush. */
void session_text(struct session *s, const char *p, size_t n);
__attribute__((format(printf, 2, 3))) void session_say(struct session *s, const char *fmt, ...);
/* A trace line; nothing when the client wants none. */
__attribute__((format(printf, 2, 3))) void session_trace(struct session *s, const char *fmt, ...);

/* Whether the client hung up, without waiting; then client_gone is set. */
bool session_client_left(struct session *s);

/* Take an id for one build, give it back. */
int session_take_id(struct session *s, struct build_id *ret, struct err *e);
void session_put_id(struct session *s, const struct build_id *id);
void session_done(struct session *s);
