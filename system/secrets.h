/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Secrets: a generation names them (file "secrets"), a file of the machine has the value, the store
 * never does. The value that a generation was switched to with is kept for it below
 * /var/lib/cairn/secrets, which root alone can enter, so that a roll-back brings back configuration
 * and value as they were together; it goes with the generation. Services find the values of the
 * running generation in /run/secrets, which is in memory only.
 */
#pragma once

#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"
#include "system/root.h"

#define SECRETS_KEPT "/var/lib/cairn/secrets"
#define SECRETS_RUN  "/run/secrets"

struct store_conn;

struct secret {
	const char *name;   /* a file name */
	const char *source; /* of the machine */
	const char *user, *group;
	uint64_t mode;
};

/* What system (read below r->store) names: vec of struct secret, in a. A generation without the
 * file has none. */
int secrets_load(const struct sys_root *r, struct arena *a, const char *system, struct vec *list,
		 struct err *e);
/* That each secret of system (read below r->store) is kept already, or has a private file. Changes
 * nothing. */
int secrets_check(const struct sys_root *r, const char *system, struct err *e);
/* Keep the values that are not kept yet. Those that were kept for a system which became no
 * generation and does not run are read once more: the switch to it failed. */
int secrets_keep(const struct sys_root *r, const char *system, struct err *e);
/* Keep, and make SECRETS_RUN agree with system: owners and modes, nothing else in there. Of a
 * secret that cannot be handed out the error has the name; the others are. */
int secrets_apply(const struct sys_root *r, const char *system, struct err *e);
/* Forget what is kept for systems that are no generation and do not run. */
int secrets_prune(const struct sys_root *r, struct err *e);
/* -ERR_INVALID when text, which is to go into the store, has the value of a secret of system. */
int secrets_scan_text(const struct sys_root *r, const char *system, struct slice text,
		      struct err *e);
/* -ERR_INVALID when an item of the closure of system, which is not in that of from (NULL: none),
 * has the value of a secret of it. Values of fewer than 8 bytes are not looked for. */
int secrets_scan(const struct sys_root *r, struct store_conn *conn, const char *from,
		 const char *system, struct err *e);
