/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A life of PID 1 that takes over from another one: sets, services, processes, descriptors, by the
 * state that was kept; and what that does not tell, by what runs.
 */
#pragma once

#include "init/set.h"

/* The set in force; a load that was under way is remembered for adopt_services(). -errno: neither
 * is known. */
int adopt_sets(struct svc_set **ret);
/* After world_init(): fill the services, and go on with what was being done. */
void adopt_services(void);
