/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Directories of users in the state directory, which their profiles are in. */
#pragma once

#include <sys/types.h>

#include "store/local/local.h"

/* Make profiles/per-user/NAME of the user uid, in stores of Nix's family gcroots/per-user/NAME,
 * too. When it cannot be done nothing is left, and nobody is told: who needs it finds it missing.
 */
void userdir_make(struct local *l, uid_t uid, gid_t gid);
/* For a client that says its own name, over TCP: nothing that exists is changed. */
void userdir_make_named(struct local *l, const char *name);
