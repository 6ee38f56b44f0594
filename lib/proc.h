/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Processes: start with a pidfd, and report which step of the set-up failed. Everything a child
 * needs is prepared before the fork; the child branch never returns and allocates nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/str.h"

struct proc_spec {
	const char *const *argv; /* borrowed; argv[0] is also the program unless path is given */
	const char *path;	 /* NULL: argv[0], looked up in PATH when it has no '/' */
	const char *const *envp; /* NULL: inherit */
	const char *cwd;	 /* NULL: stay */
	int in, out, err;	 /* descriptors for 0, 1, 2; -1: inherit. -2: /dev/null */
	bool setsid;
	bool dies_with_us; /* a tool that must not go on working for somebody who was killed */
	int (*setup)(void *arg); /* last step before exec, in the child; 0 or -errno */
	void *arg;
	int *ret_status; /* proc_run, proc_output: wait status of what ended; NULL: not wanted */
};

#define PROC_SPEC_INIT                                                                             \
	{                                                                                          \
		.in = -1, .out = -1, .err = -1                                                     \
	}

struct proc {
	pid_t pid; /* -1: none */
	int pidfd; /* owned; -1: none */
};

#define PROC_INIT                                                                                  \
	{                                                                                          \
		-1, -1                                                                             \
	}

/* Start; on exec or set-up failure the child is reaped and e names the step. */
int proc_start(const struct proc_spec *spec, struct proc *ret, struct err *e);
/* Wait and reap. *ret_status is how it ended. EINTR is handled, and so is a child that made us its
 * tracer. */
int proc_wait(struct proc *p, int *ret_status);
/* A child that stopped (wait status) because it asked to be traced by us: let it go on without. */
void proc_untrace(pid_t pid, int status);
int proc_kill(const struct proc *p, int sig); /* through the pidfd */
/* Kill and reap; it may have ended by itself. */
void proc_end(struct proc *p);
/* Start, wait, and turn a non-zero end into an error that says so. */
int proc_run(const struct proc_spec *spec, struct err *e);
/* proc_run collecting standard output (at most limit bytes). */
int proc_output(struct proc_spec *spec, struct str *out, size_t limit, struct err *e);
/* Default action for sig when it is ignored, by the bare call: libraries refuse the first real-time
 * signals, which a parent may have left ignored. A handler stays. */
void proc_signal_unignore(int sig);
/* For a server with children: a non-blocking signalfd(2), the caller's, that tells of SIGTERM,
 * SIGINT and SIGCHLD, which are blocked from then on; SIGPIPE is ignored. -errno when there is
 * none. */
int proc_server_signals(void);
/* "exit code 3" / "signal 9 (Killed)" */
void proc_status_text(int status, char out[64]);
