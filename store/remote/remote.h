/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A build daemon on another machine, reached by OpenSSH: ssh://[USER@]HOST[:PORT][/?KEY=VALUE&…] */
#pragma once

#include <sys/types.h>

#include "lib/arena.h"
#include "lib/err.h"

struct remote {
	const char *user, *host, *port; /* user, port: NULL when not given */
	const char *program;		/* of the other machine; "cairn" */
	const char *root;		/* private root there; NULL: its own store */
	/* for those who do not rely on the user's settings; NULL: as these say */
	const char *known_hosts, *alias; /* file of host keys, and the name in it */
	const char *identity;		 /* file of our private key */
};

/* -ERR_USAGE when text is no such address. Strings in a. */
int remote_parse(struct arena *a, const char *text, struct remote *ret, struct err *e);
/* Run ssh (or what the variable CAIRN_SSH says) and "PROGRAM daemon --stdio" there. *ret_fd is a
 * socket, *ret_pid has to be waited for after it was closed. */
int remote_start(const struct remote *m, int *ret_fd, pid_t *ret_pid, struct err *e);
/* The same program on this machine, for a child of one that has used SQLite: its state must not
 * come over a fork. root: "/" is the machine's own. */
int remote_start_here(const char *root, const char *store_dir, const char *state_dir, int *ret_fd,
		      pid_t *ret_pid, struct err *e);
