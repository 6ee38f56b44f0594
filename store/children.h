/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The processes that serve connections: whose they are, and how they end. Each starts as the same
 * copy of the listener, so who makes them crash can try again and again: a user whose connections
 * crash too often is not served for a while.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILDREN_CRASHES 64  /* of one user other than root */
#define CHILDREN_PAUSE_S 600 /* since the last of them */

struct child_entry;
struct crash_entry;

struct children {
	struct child_entry *live; /* owned */
	size_t nlive;
	struct crash_entry *crashes; /* owned */
	size_t ncrashes;
};

/* Without memory an entry is missing, and its crash not counted. */
void children_add(struct children *c, pid_t pid, uid_t uid);
/* pid ended with status; now: loop_now(). *ret_uid: whose it was. true: it was one crash too many.
 */
bool children_ended(struct children *c, pid_t pid, int status, uint64_t now, uid_t *ret_uid);
bool children_paused(const struct children *c, uid_t uid, uint64_t now);
void children_done(struct children *c);
