/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One connection, from the greeting to its end: the operations of the daemon. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "store/local/local.h"
#include "store/policy.h"

struct serve_opts {
	struct local_opts local;
	enum dialect dialect; /* of the connection */
	uint64_t max_jobs;    /* 0: as many as processors */
	uint64_t cores;
	struct policy policy;
	uid_t client_uid; /* from the kernel; (uid_t)-1: unknown, over TCP */
	gid_t client_gid;
	bool trusted;
	int broker; /* socket pair to the listener; -1: slot files */
};

/* Serve fd (taken) until it ends. Errors went to the client as far as it could be reached. */
void serve(int fd, const struct serve_opts *o);
/* Number of processors this process may use, at least 1. */
uint64_t serve_processors(void);
