/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A helper of the daemon that meets what strangers send: a process with the machine's network and
 * nothing else of the machine. It has user, mount, pid, ipc, uts and cgroup namespaces of its own,
 * an unprivileged identity, no capabilities, a system call filter, and a root of what it is given.
 */
#pragma once

#include <limits.h>
#include <stddef.h>

#include "lib/proc.h"
#include "lib/str.h"
#include "store/build/cell.h"
#include "store/build/seccomp.h"

#define HELPER_PATHS_MAX 32

struct helper_file {
	const char *path; /* absolute */
	const char *text; /* NULL: not there */
};

struct helper {
	struct cell_id id;
	int root; /* any directory: the place where the new root is mounted */
	const char *const
		*paths; /* shown read-only under their names, where they exist; NULL-ended */
	const struct helper_file *files; /* ended by a path NULL */
	int dir;			 /* what is to be found, writable, as /work; 0: none */
	const int *fds;			 /* become 0, 1, ...; at least three */
	size_t nfds;
	const struct filter_prog *filter;
	const char *const *argv; /* a program, by its absolute path among paths; or NULL, and */
	void (*run)(void *arg);	 /* what runs instead, in this process's image */
	void *arg;
};

/* *ret is PID 1 of its namespace: when it is gone, no process of the helper is left. It dies with
 * the caller. */
int helper_start(const struct helper *b, struct proc *ret, struct err *e);
/* What a program linked dynamically needs to start; NULL-ended. */
extern const char *const helper_system_paths[];
/* What looking up names, checking certificates and finding a mirror read. */
extern const char *const helper_network_paths[];
/* Append; both NULL-ended, and what there is no room for is left out. */
void helper_add_paths(const char *paths[HELPER_PATHS_MAX], const char *const *more);
/* A program by the absolute path name, or called usual and found in PATH. */
int helper_find(const char *name, const char *usual, char ret[PATH_MAX], struct err *e);
/* The machine's /etc/resolv.conf as a copy: it may be a link, change, or be no file at all. */
void helper_read_resolv(struct str *out);

/* In a helper: a line for who started it, on descriptor 1. */
void helper_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
