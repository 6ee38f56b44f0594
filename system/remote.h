/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Switching another machine, over OpenSSH: the closure is copied, the program of what it switches
 * to does the switch there, to be confirmed, and a new connection confirms it. A switch that cuts
 * the machine off is so taken back by itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"
#include "store/store.h"

#define REMOTE_CONFIRM 120 /* seconds, unless said otherwise */

struct remote_host {
	const char *name; /* in messages */
	const char *host, *user, *port;
	const char *identity; /* file of our private key; NULL: as OpenSSH's settings say */
	const char *host_key; /* "ssh-ed25519 AAAA…"; NULL: as known_hosts says */
	const char *program;  /* cairn there; NULL: in what runs, or is switched to */
	const char *root;     /* of the store there, and of the machine; NULL: "/" */
};

struct remote_opts {
	const struct store_opts *store;
	uint64_t confirm; /* seconds; 0: not to be confirmed */
	bool boot_only;
};

/* What came of a switch. */
struct remote_result {
	unsigned from, to; /* generations; 0: not known */
	bool confirmed;
	bool unchanged; /* nothing was to be done */
};

/* "[USER@]HOST[:PORT]", or that behind ssh://. Strings in a. -ERR_USAGE. */
int remote_host_parse(struct arena *a, const char *text, struct remote_host *ret, struct err *e);
/* Nothing of it may mean anything to ssh or to a shell. -ERR_USAGE. */
int remote_host_check(const struct remote_host *h, struct err *e);

/* Copy the item system, and all that it refers to, of the store that o->store names. */
int remote_copy(const struct remote_host *h, const struct remote_opts *o, const char *system,
		struct err *e);
/* The plan of a switch to it, as the machine prints it. */
int remote_plan(const struct remote_host *h, const struct remote_opts *o, const char *system,
		struct str *ret, struct err *e);
/* Switch to it, which is there; system NULL: back to the generation before. */
int remote_switch(const struct remote_host *h, const struct remote_opts *o, const char *system,
		  struct remote_result *ret, struct err *e);
/* Run a command of a shell there. *ret_status: its exit status. Its output goes to ours. */
int remote_run(const struct remote_host *h, const char *command, int *ret_status, struct err *e);
