/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hosts that could not be reached: they are asked last, or not at all, for some minutes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HOSTS_FORGET 600 /* seconds */

/* Children of this process add to what it knows, from now on. */
void hosts_share(void);
/* What is known, in dirfd/unreachable. */
void hosts_load(int dirfd);
void hosts_save(int dirfd);

bool hosts_is_bad(const char *url);
/* For so many seconds, unless it is already. */
void hosts_set_bad(const char *url, int64_t seconds);
/* Whether so many are that there seems to be no way out of this machine; not when one answered
 * since. */
bool hosts_offline(void);
void hosts_reached(void);
