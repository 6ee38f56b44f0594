/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Placeholders of Nix's language: what an expression writes for the path of an output while that is
 * not known, "/" and a hash of the output's name. */
#pragma once

#include "store/store.h"

/* text with the paths of d's outputs in place of their placeholders; text itself when it has none,
 * else in a. p NULL: out of memory. */
struct slice placeholder_fill(struct arena *a, const struct drv *d, struct slice text);
