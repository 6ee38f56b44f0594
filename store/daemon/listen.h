/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sockets at which a daemon listens. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/err.h"
#include "lib/vec.h"

#define LISTEN_MAX  16
#define LISTEN_PORT "44146"

/*
 * Open the sockets that whoever started us gave (LISTEN_FDS), or else those of names: the path of a
 * Unix socket, which begins with '/', or HOST[:PORT] or [ADDRESS][:PORT] for TCP. They are owned by
 * the caller also after a failure.
 */
int listen_open(const struct vec *names, int fds[LISTEN_MAX], size_t *n, struct err *e);

/*
 * A client as a number, for shares and limits: a user of this machine is his uid, who comes over
 * TCP is his IPv4 address, or the /64 network of his IPv6 address, with the highest bit set.
 */
#define LISTEN_FAR	   ((uint64_t)1 << 63)
#define LISTEN_CLIENT_TEXT 80
uint64_t listen_client(const struct sockaddr_storage *sa); /* of an address of the Internet */
/* "uid=1000", "address=192.0.2.1", "network=2001:db8::/64" */
void listen_client_text(uint64_t client, char out[LISTEN_CLIENT_TEXT]);
