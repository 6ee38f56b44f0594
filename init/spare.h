/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Descriptors that are held to have some when there are no more, in this process or in the system:
 * for an answer to a client, and for what ends processes. Starting a service gets none of them.
 */
#pragma once

#include <stdbool.h>

/* More than a client may have. */
#define SPARE_FOR_CLIENTS 2

/* Hold all of them again, as far as there are any. */
void spare_keep(void);
/* A call failed with this errno. true: for want of a descriptor, and one was given up: call again.
 * leave: so many are for others. */
bool spare_lend(int error, unsigned leave);
/* It failed for want of something that others give back. */
bool spare_is_short(int error);
