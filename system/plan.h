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
	uint64_t size;		    /* NAR bytes; 0: not known */
};

struct plan {
	struct vec packages; /* struct plan_item, sorted by name */
	struct vec etc;	     /* names below /etc */
	struct vec users, groups;
	struct vec facts;	/* host name, label, time zone…: name, before, after */
	struct vec environment; /* names of variables of all services */
	struct vec services;	/* struct live_change */
	bool services_live;	/* as PID 1 says, not from the sets alone */
	bool services_at_boot;	/* the running ones are left alone */
	bool init_too_old;	/* because PID 1 cannot read the new set */
	struct vec reboot;	/* strings: what only takes effect at the next boot */
	uint64_t closure_before, closure_after; /* bytes; 0: not known */
};

#define PLAN_INIT                                                                                  \
	{                                                                                          \
		VEC_INIT, VEC_INIT, VEC_INIT, VEC_INIT, VEC_INIT, VEC_INIT, VEC_INIT, false,       \
			false, false, VEC_INIT, 0, 0                                               \
	}
void plan_done(struct plan *p);

/* from may be NULL (nothing before). booted: what the kernel runs from; NULL: not known, from is
 * taken. at_boot: PID 1 is not to load the services, and is not asked. Strings in arena. */
int plan_make(const struct sys_root *r, struct arena *a, const char *from, const char *to,
	      const char *booted, bool at_boot, struct plan *ret, struct err *e);
/* Fill in sizes from a store; without this they are left out. */
int plan_sizes(struct store_conn *c, struct arena *a, const char *from, const char *to,
	       struct plan *p, struct err *e);
/* Only the list "reboot": what of `to` a machine that runs booted has after the next boot. */
int plan_reboot_reasons(const struct sys_root *r, struct arena *a, const char *booted,
			const char *to, struct plan *ret, struct err *e);
bool plan_is_empty(const struct plan *p);
void plan_text(const struct plan *p, struct str *out);
void plan_json(const struct plan *p, struct str *out);
