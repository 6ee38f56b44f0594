/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who may ask what of PID 1: one table, and what services say in `control`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "init/proto.h"
#include "init/svc.h"

/* May the peer of socket fd, which is not root, do op to s (NULL: to none that is there)? false:
 * why says who may, and a message has told it. Who it is the kernel says. */
bool rights_allow(int fd, enum ctl_op op, const struct svc *s, char *why, size_t size);
