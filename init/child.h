/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Starting one process of a service. All it needs is prepared before the clone; the child never
 * returns and allocates nothing. The parent waits (CLONE_VFORK) until exec or failure, and a shared
 * page tells which step failed, so an exec error is known at once and costs no pipe.
 */
#pragma once

#include <sys/types.h>

#include "init/set.h"

#define CHILD_FDS (LIMIT_SVC_LISTEN + LIMIT_SVC_FDS + 4)
#define CHILD_PATH                                                                                 \
	"PATH=/run/current-system/profile/bin:/run/current-system/profile/sbin:"                   \
	"/bin:/sbin:/usr/bin:/usr/sbin"
#define INIT_UMASK 022 /* PID 1 has this, and "/" as its directory: so do children */

struct child_fd {
	int from, to;
};

struct child_spec {
	const struct svc_def *def;
	const char *const *argv;
	const struct svc_list *base_environment; /* of [init] */
	int out;				 /* for 1 and 2; -1: /dev/null; -2: the console */
	struct child_fd fds[CHILD_FDS];		 /* beyond 0, 1, 2 */
	size_t nfds;
	size_t nlisten; /* of the fds, the first ones; they are 3, 4, … */
	/* After these, and their names, which live during the call. */
	size_t nstored;
	const char *stored[LIMIT_SVC_FDS];
	bool notify_socket;
	int join; /* a helper command enters the namespaces of this pidfd; -1: own ones */
	pid_t join_pid;
	int exe;   /* this program, for the reaper of process numbers */
	bool main; /* not a helper command: terminal, cgroup limits apply */
};

/* What the kernel and the child write while PID 1 is in clone, in memory that they share. */
struct child_cell {
	int step, error; /* of a child that could not be set up; error 0: none */
	pid_t pid;	 /* 0: none yet */
	int pidfd;
};

/* Once: the limits to give back; cell NULL: it makes its own; room for what so many services need.
 */
int child_init(const char *notify_path, struct child_cell *cell, size_t services);
/* 0 or -errno, and why: "exec /x: No such file or directory". */
int child_start(const struct child_spec *spec, pid_t *ret_pid, int *ret_pidfd, char *why,
		size_t why_size);
/* A process outside any service (logger, rescue, unmounting): after set-up of signals it calls fn.
 * No exec is waited for. */
int child_fork(int (*fn)(void *arg), void *arg, pid_t *ret_pid, int *ret_pidfd);
/* Give a child back what PID 1 changed: signals, limits. For fn of child_fork. */
void child_reset(void);
