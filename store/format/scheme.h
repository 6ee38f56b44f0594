/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bit of Scheme that derivations of downloads hold: a string, a list of strings, and a
 * table of such lists. */
#pragma once

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/vec.h"

int scheme_strings(struct arena *a, struct slice text, struct vec *ret, struct err *e);
/* The strings of the first list of text, ((SYMBOL "…" …) …), that begins with the symbol key; none
 * when there is no such list. */
int scheme_assoc(struct arena *a, struct slice text, struct slice key, struct vec *ret,
		 struct err *e);
