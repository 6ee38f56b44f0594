/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A boxed child process: runs one function with one socket and nothing else. No file system, no
 * network, no new processes, no clock worth the name: the seccomp filter lets it read and write the
 * socket, allocate memory, and exit. Whatever it needs it asks the parent for, and the parent
 * treats every byte it gets back as hostile.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/proc.h"
#include "lib/slice.h"
#include "lib/str.h"

struct box {
	struct proc proc;  /* owned */
	int fd;		   /* owned; the parent's end */
	uint64_t deadline; /* CLOCK_MONOTONIC ns */
};

#define BOX_INIT                                                                                   \
	{                                                                                          \
		PROC_INIT, -1, 0                                                                   \
	}

/* The child's program; its return value is the exit status. */
typedef int box_main_fn(int fd, void *arg);

/* Fork; the child confines itself and runs fn. seconds bounds its processor time; ten times that,
 * the time the parent waits for its last word, so that a busy machine is no reason to fail. */
int box_start(struct box *b, uint64_t seconds, box_main_fn *fn, void *arg, struct err *e);
/* Kill what is left of the child, reap it, close the socket. Safe on BOX_INIT. */
void box_done(struct box *b);

/* Messages, both directions: a type (2 or more) and bytes. box_send is the child's. */
int box_send(int fd, uint64_t type, struct slice body);
int box_reply(const struct box *b, uint64_t type, struct slice body);
/* Child side: wait for a message of at most limit bytes into out. 0, -ERR_PROTO, -ERR_LIMIT or
 * -errno. */
int box_recv(int fd, uint64_t *ret_type, struct str *out, size_t limit);
/* Parent side: as box_recv, with the deadline; when the child is gone e says how it ended. */
int box_wait(struct box *b, uint64_t *ret_type, struct str *out, size_t limit, struct err *e);
