/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The plan: what a switch from one generation to another changes, from what is stored in both. It
 * is printed before anything is done, and is what is then done.
 */
#pragma once

#include "lib/str.h"
#include "lib/vec.h"
#include "system/generation.h"
#include "system/live.h"

struct store_conn;

enum plan_how { PLAN_ADDED, PLAN_REMOVED, PLAN_CHANGED };

struct plan_item {
	enum plan_how how;
	const char *name;
	const char *before, *after; /* versions or values; "" when there is none */
	const char *path;	    /* store path the size belongs to; NULL: no size */
	uint64_t size; /* NAR bytes, which no item has less than 100 of; 0: not known */
	bool unbuilt;  /* because it is to be built first */
};

struct plan {
	struct vec packages; /* struct plan_item, sorted by name */
	struct vec etc;	     /* names below /etc */
	struct vec users, groups;
	struct vec secrets;	/* names; before and after: owner, mode, version; never a value */
	struct vec privileged;	/* programs; owner and bits */
	struct vec facts;	/* host name, label, kernel…: name, before, after */
	struct vec environment; /* names of variables of all services */
	struct vec services;	/* struct live_change */
	bool services_live;	/* as PID 1 says, not from the sets alone */
	bool services_at_boot;	/* the running ones are left alone */
	bool services_unknown; /* the old set is damaged, or only what is not built yet can read the
				* new one */
	bool init_too_old;     /* because PID 1 cannot read the new set */
	struct vec reboot;     /* strings: what only takes effect at the next boot */
	const struct vec *warnings; /* strings, of the evaluation; NULL: there was none */
	/* By plan_sizes(): */
	bool sized;
	uint64_t closure_before, closure_after; /* bytes of what is known; 0: not known */
	size_t unknown_before, unknown_after;	/* items whose size nobody knows */
	size_t fetch, build;	     /* items that caches have, derivations that none has */
	uint64_t download, unpacked; /* bytes: of the items to fetch */
};

#define PLAN_INIT                                                                                  \
	{                                                                                          \
		.packages = VEC_INIT, .etc = VEC_INIT, .users = VEC_INIT, .groups = VEC_INIT,      \
		.secrets = VEC_INIT, .privileged = VEC_INIT, .facts = VEC_INIT,                    \
		.environment = VEC_INIT, .services = VEC_INIT, .reboot = VEC_INIT                  \
	}
void plan_done(struct plan *p);

/* A system, and where its files are: a machine's store, or a sketch (system/sketch.h). */
struct plan_side {
	struct sys_root root;
	const char *system; /* logical; NULL: none */
};

struct plan_request {
	struct plan_side from, to; /* from: nothing is before when there is none */
	struct plan_side booted;   /* what the kernel runs from; none: from is taken */
	struct plan_side active;   /* what is changed when it is not only the next boot, for which
				    * from stands; none: from is taken */
	bool at_boot;		   /* PID 1 is not to load the services, and is not asked */
	bool live;		   /* it is about this machine, whose PID 1 may be asked */
};

/* Strings in arena. */
int plan_make(const struct plan_request *q, struct arena *a, struct plan *ret, struct err *e);

/* What the item at path, which is not built, will refer to, as far as that is known: paths to add.
 * false: not known. */
typedef bool plan_refs_fn(void *arg, const char *path, struct vec *ret);
/* Fill in sizes from a store and its caches (offers: these are asked); without this they are left
 * out. refs may be NULL. */
struct plan_sizer {
	struct store_conn *conn;
	bool offers;
	plan_refs_fn *refs;
	void *arg;
};
int plan_sizes(const struct plan_sizer *z, struct arena *a, const char *from, const char *to,
	       struct plan *p, struct err *e);
/* Only the list "reboot": what of `to` a machine that runs booted has after the next boot. */
int plan_reboot_reasons(const struct sys_root *r, struct arena *a, const char *booted,
			const char *to, struct plan *ret, struct err *e);
bool plan_is_empty(const struct plan *p);
void plan_text(const struct plan *p, struct str *out);
void plan_json(const struct plan *p, struct str *out);
