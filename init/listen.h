/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sockets of a service. */
#pragma once

#include <stddef.h>

#include "init/set.h"

/* Make and bind one; directories of a path are made. Descriptor or -errno, and why. */
int listen_open(const struct svc_listen *l, char *why, size_t why_size);
