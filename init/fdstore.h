/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Descriptors that services leave with PID 1 (FDSTORE=1): it gives them back at the next start.
 * Bounded for each service (fd-store) and for all. They outlive this program.
 */
#pragma once

#include <stdbool.h>

#include "init/child.h"
#include "init/svc.h"

/* Before state_switch(). trusted: take those of a life before. */
void fdstore_init(void);
void fdstore_resume(bool trusted);
/* Keep some of the n descriptors of fds, which become -1; name: empty for "stored". */
void fdstore_put(const struct svc *s, int *fds, size_t n, struct slice name);
/* Close those of that name; empty: all of s. */
void fdstore_remove(const struct svc *s, struct slice name);
/* Hand them to a child, after the sockets that are in spec. They stay with PID 1. */
void fdstore_give(const struct svc *s, struct child_spec *spec);
