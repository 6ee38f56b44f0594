/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A generation that is tried out until somebody confirms it. It is active, but the profile and the
 * boot menu still name the one before, so a reset boots that. PID 1 has a timed service of its own
 * that goes back; it needs neither the command that began this nor its terminal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "system/root.h"

#define CONFIRM_MAX 86400u /* seconds */

/* What /run/cairn/confirm says. */
struct confirm {
	uint64_t to, from;   /* generations: what is tried out, and what ran before */
	uint64_t until;	     /* seconds of CLOCK_BOOTTIME */
	const char *service; /* PID 1's */
};

/* *ret_found: does one wait? Strings in arena. */
int confirm_load(const struct sys_root *r, struct arena *a, struct confirm *ret, bool *ret_found,
		 struct err *e);
/* Will PID 1 go back by itself? Also when it does not say that it will not. */
bool confirm_is_armed(const struct confirm *c);
/* Seconds until it does; 0: it is about to. */
uint64_t confirm_left(const struct confirm *c);
/* Keep a note, and have PID 1 run "PROGRAM system revert" in so many seconds, and again until that
 * succeeds. Fills the rest of c. On failure there is no trace of it. */
int confirm_begin(struct arena *a, const char *program, uint64_t seconds, struct confirm *c,
		  struct err *e);
/* This machine went back from c->to: until the next trial *ret says so. */
void confirm_note_reverted(const struct confirm *c);
bool confirm_was_reverted(struct arena *a, struct confirm *ret);
/* It is decided: PID 1's service is stopped, the note goes. Who is that service calls this last: it
 * is told to end. */
int confirm_end(const struct confirm *c, struct err *e);
/* PID 1's service that this is, if it is one that goes back; NULL: it is none. */
const char *confirm_own_service(void);
/* Have PID 1 never run that service again; as the last thing where it is this one. */
int confirm_stop(const char *service, struct err *e);
