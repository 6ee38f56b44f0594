/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sockets at which a daemon listens. */
#pragma once

#include <stddef.h>

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
