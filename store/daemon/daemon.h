/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The listener: accepts connections, forks a process for each, and hands out job slots. It never
 * opens the database. */
#pragma once

#include "lib/vec.h"
#include "store/daemon/serve.h"

struct daemon_opts {
	struct serve_opts serve;  /* client and broker are filled in for each connection */
	const struct vec *listen; /* as for listen_open() */
	void (*ready)(void *arg); /* called once connections are accepted; may be NULL */
	void *arg;
	/* Called when the connections of a client (listen_client()) crashed too often. */
	void (*paused)(uint64_t client);
	uint64_t drain_timeout; /* seconds that open connections have after the end; 0: no bound */
	void (*draining)(bool over, size_t n); /* as for drain_begin() */
};

/* Serve until SIGTERM or SIGINT. Connections that are open then go on by themselves, for
 * drain_timeout. Sockets come from LISTEN_FDS when it is meant for this process, else from listen.
 * NOTIFY_SOCKET is told. */
int daemon_run(const struct daemon_opts *o, struct err *e);
