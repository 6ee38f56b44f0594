/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Other machines that build for this one, as the file CONF/machines lists them, in the form of Nix:
 * a line for each, with ADDRESS SYSTEMS KEY-FILE MAX-JOBS SPEED FEATURES MANDATORY-FEATURES
 * HOST-KEY.
 */
#pragma once

#include "store/local/local.h"

struct machine {
	const char *address;			   /* ssh://… */
	const char *name;			   /* of files; from the address */
	const char *identity, *host_key;	   /* NULL: as ssh is set up */
	struct slice systems, features, mandatory; /* separated by commas */
	uint64_t max_jobs, speed;
	uint64_t down_until; /* monotonic ns; could not be reached */
	struct machine *next;
};

struct machines {
	struct arena a;
	struct machine *first;
	bool loaded;
};

/* Once; no file is an empty one. A line that is wrong is an error. */
int machines_load(struct machines *list, struct local *l, struct err *e);
void machines_done(struct machines *list);
/* Whether m may build d: it has its system and the features d requires, and d requires those that m
 * insists on. */
bool machine_fits(const struct machine *m, const struct drv *d);
