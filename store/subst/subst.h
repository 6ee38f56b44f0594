/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Substitutes: what caches offer in place of a build.
 *
 * Everything that comes from the network is read by children without rights. Their words are
 * narinfos, which must be signed by a trusted key and be about the path that was asked for, and
 * archives, which must be what the narinfo says to the last byte before anything is registered.
 */
#pragma once

#include "lib/proc.h"
#include "lib/tab.h"
#include "store/format/narinfo.h"
#include "store/daemon/session.h"

#define LIMIT_SUBST_URLS  16
#define LIMIT_SUBST_PATHS 20000

struct subst_file {
	const char *url; /* whole */
	enum zip kind;
	uint64_t limit; /* bytes that a transfer may have */
};

struct subst_item {
	struct store_info info;
	struct subst_file *files; /* in the order in which they are tried */
	size_t nfiles;
	uint64_t download; /* bytes of the first one; 0: not told */
	/* of a plan */
	bool checked; /* what it refers to is in the plan, or valid */
	bool wanted;  /* to be fetched */
	bool done;
	bool mend;	  /* it is valid, but its files are damaged */
	struct proc proc; /* its worker */
	int log;	  /* owned */
	struct str line;
};

/* ---- Settings (store/subst/subst.c)
 * ---------------------------------------------------------------- */

void subst_init(struct subst *t, const struct policy *p);
void subst_done(struct subst *t);
/* Whether what the administrator said of caches and keys can be used. */
int subst_check_policy(const struct policy *p, struct err *e);
/* A client's own caches, blank-separated; of somebody who is not trusted only http and https. */
int subst_set_urls(struct session *s, const char *urls, struct err *e);
/* More trusted keys; of trusted clients alone. */
int subst_set_keys(struct session *s, const char *keys, struct err *e);
/* The caches that would be asked; none when substitutes are not wanted. */
int subst_urls(const struct session *s, struct arena *a, struct vec *ret, struct err *e);

/* The keys that count for this session. */
int subst_load_trust(const struct session *s, struct trust *t, struct err *e);

/* ---- Asking (store/subst/subst.c)
 * ------------------------------------------------------------------ */

/* Ask for narinfos of paths (checked), all at once: path -> struct subst_item *, for those that a
 * trusted key vouches for. Keys and values live in a. */
int subst_lookup(struct session *s, struct arena *a, const struct vec *paths, struct tab *ret,
		 struct err *e);

/* The same for one path, of which only the archive with that hash will do; in a; *ret NULL: nobody
 * has it. */
int subst_lookup_same(struct session *s, struct arena *a, const char *path,
		      const struct digest *want, struct subst_item **ret, struct err *e);

/* The URL of a file that a narinfo of the cache base names: below it, or at the same server; NULL
 * when it leads elsewhere. */
const char *subst_join_url(struct arena *a, const char *base, const char *url);

/* ---- Fetching (store/subst/subst-fetch.c)
 * ---------------------------------------------------------- */

/* Start the worker that makes item valid; what it refers to is valid. */
int subst_start(struct session *s, struct subst_item *item, const struct build_id *id,
		struct err *e);
/* Output of the worker; false at its end. */
bool subst_output(struct session *s, struct subst_item *item);
/* It is dead: 0 when the path is valid now. */
int subst_finish(struct session *s, struct subst_item *item, struct err *e);
void subst_abort(struct subst_item *item);

/* ---- Helpers that meet what caches send (store/subst/subst-fetch.c)
 * ---------------------------------
 */

/* Who a helper is, and what it sees of the machine. */
struct subst_cage {
	const struct build_id *id; /* borrowed */
	int root;		   /* borrowed: any directory of the caller's */
	struct vec urls;	   /* caches; those of file: are directories it sees */
	struct arena a;		   /* of urls, when a session has made it */
	long patience;		   /* seconds that a transfer may be slow; 0: the usual */
};

/* Of a session; done also after a failure. */
int subst_cage_init(struct subst_cage *c, const struct session *s, const struct build_id *id,
		    struct err *e);
void subst_cage_done(struct subst_cage *c);
/* Start a helper (store/build/helper.h) that writes to *ret_out; log (-1: none) gets what it
 * prints. In it fn(arg, out) is called, and it ends. */
int subst_fork(const struct subst_cage *c, int log, int (*fn)(void *arg, int out), void *arg,
	       struct proc *ret, int *ret_out, struct err *e);

/* An archive that a helper fetches and decompresses: item->info.nar_size bytes, and no more. */
struct subst_archive {
	struct nar_source source;
	int fd; /* owned */
	uint64_t left;
	struct proc child;
};

/* log: for what goes wrong in the helper and, unless quiet, how it gets on. */
int subst_archive_open(const struct subst_cage *c, const struct subst_item *item,
		       const struct subst_file *file, int log, bool quiet,
		       struct subst_archive *ret, struct err *e);
void subst_archive_close(struct subst_archive *a);

/* ---- Plans (store/subst/subst-plan.c)
 * -------------------------------------------------------------- */

struct subst_plan {
	struct session *s;
	struct arena a;
	struct tab items; /* path -> struct subst_item *; NULL: not available */
	struct vec order; /* struct subst_item * that are wanted */
};

/* What would be substituted for things ("PATH", "DRV!out,lib"). failed: paths not to try again;
 * NULL: none. */
int subst_plan(struct subst_plan *p, struct session *s, const struct vec *things,
	       const struct tab *failed, struct err *e);
void subst_plan_done(struct subst_plan *p);
/* Bytes to transfer and to unpack. */
void subst_plan_sizes(const struct subst_plan *p, uint64_t *ret_download, uint64_t *ret_nar);

/* Before a build: fetch what need not be built. Without fallback a substitute that fails is an
 * error. Does nothing when no cache is configured. */
int subst_before_build(struct session *s, const struct vec *things, struct err *e);

/* Fetch the files of a valid path again and put them in place of those that are there, which are
 * damaged. *ret false: no cache has the archive that is registered; why is said to the client. */
int subst_mend(struct session *s, const char *path, bool *ret, struct err *e);
