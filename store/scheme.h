/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bit of Scheme that derivations of downloads hold: a string, or a list of strings. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"

int scheme_strings(struct arena *a, struct slice text, struct vec *ret, struct err *e);
