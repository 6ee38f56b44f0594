/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The processes that serve connections: whose they are, and how they end. Each starts as the same
 * copy of the listener, so who makes them crash can try again and again: a client whose connections
 * crash too often is not served for a while. Clients are those of listen_client().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CHILDREN_CRASHES 64   /* of one client other than root */
#define CHILDREN_PAUSE_S 600  /* since the last of them */
#define CHILDREN_CLIENTS 1024 /* whose crashes are counted */

struct child_entry;
struct crash_entry;

struct children {
	struct child_entry *live; /* owned */
	size_t nlive;
	struct crash_entry *crashes; /* owned */
	size_t ncrashes;
};

/* Without memory an entry is missing, and its crash not counted. */
void children_add(struct children *c, pid_t pid, uint64_t client);
/* pid ended with status; now: loop_now(). *ret_client: whose it was. true: it was one crash too
 * many.
 */
bool children_ended(struct children *c, pid_t pid, int status, uint64_t now, uint64_t *ret_client);
bool children_paused(const struct children *c, uint64_t client, uint64_t now);
/* Those that have not ended; max at most. Returns how many. */
size_t children_pids(const struct children *c, pid_t *out, size_t max);
void children_done(struct children *c);
