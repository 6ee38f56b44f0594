/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Downloads by HTTP and FTP. Only this file's .c knows libcurl. */
#pragma once

#include <stdint.h>

#include "store/store.h"

typedef void fetch_progress_fn(void *arg, const char *url, uint64_t total, uint64_t done);

struct fetch {
	const char *const *urls; /* in order; mirror:// allowed */
	size_t nurls;
	const struct digest *want;
	int dirfd;
	const char *name;  /* made anew */
	const char *label; /* in messages; NULL: name */
	unsigned mode;
	uint64_t limit; /* bytes; 0: LIMIT_DOWNLOAD */
	bool nar;	/* want is the hash of the file as a NAR, mode and all */
	bool unchecked; /* want is of what will be made of the file: nobody looks here */
	fetch_progress_fn *progress; /* NULL: none */
	void *arg;
};

/* The file appears only with the wanted hash. URLs that fail for a reason that may pass (a server
 * that does not answer, an answer cut short) are tried again a few times, after all others were
 * tried. When all fail, each is named with its reason, without user names and passwords. */
int fetch_run(const struct fetch *f, struct err *e);

/* Hosts that could not be reached are asked last for some minutes. What this process and its
 * children (after fetch_hosts_share) found out can be kept in dirfd/unreachable. */
void fetch_hosts_share(void);
/* For how many seconds a transfer may be slower than a kilobyte a second, from now on in this
 * process; 30 in the beginning. */
void fetch_set_patience(long seconds);
void fetch_hosts_load(int dirfd);
void fetch_hosts_save(int dirfd);

/* ---- What nothing is known about before: narinfos and archives of caches ----------------------
 */

/* http, https; file, which is no link, where the caller allows it. */
bool fetch_url_ok(const char *url, bool file);

#define FETCH_WHY 160

struct fetch_answer {
	const char *url;
	/* what came of it */
	int status;	     /* of HTTP; 200 for a file; 0: no answer */
	int64_t max_age;     /* seconds it may be remembered; -1: not told */
	char why[FETCH_WHY]; /* no answer came; "" when nobody was asked */
	struct str body;     /* owned; of a status of 200 */
};

/* Ask for all at once, some at the same time; none may be larger than limit. A host that cannot be
 * reached is asked no more. */
int fetch_answers(struct fetch_answer *v, size_t n, size_t limit, struct err *e);

/* One large answer as it comes, at most limit bytes; what is cut short is taken up where it
 * ended. */
struct fetch_stream;
int fetch_stream_open(const char *url, uint64_t limit, struct fetch_stream **ret, struct err *e);
/* Some bytes; 0 at the end. */
ssize_t fetch_stream_read(struct fetch_stream *s, void *p, size_t n, struct err *e);
void fetch_stream_close(struct fetch_stream *s); /* NULL allowed */
