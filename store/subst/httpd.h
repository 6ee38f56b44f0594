/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A TCP listener that forks a process for each connection. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"

struct httpd_opts {
	const char *host; /* NULL: all addresses of the machine */
	uint64_t port;	  /* 0: any that is free */
	const char *user; /* whose rights are taken once the port is bound; NULL: keep ours */
	void (*ready)(void *arg, unsigned port);
	void (*serve)(void *arg, int fd); /* in a process of its own, which ends then; fd is its */
	void *arg;
};

/* Until SIGTERM or SIGINT; connections that are open end with it. Beyond a number of connections in
 * all, and of one address, a connection is closed at once. Sockets of LISTEN_FDS are not taken. */
int httpd_run(const struct httpd_opts *o, struct err *e);
