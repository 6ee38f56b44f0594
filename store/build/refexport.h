/* SPDX-License-Identifier: GPL-3.0-or-later */
/* exportReferencesGraph: the closures of inputs, described for the builder. A closure has with
 * every derivation in it the valid outputs of that, and what they need. */
#pragma once

#include "store/local/local.h"

/* Of one path: of each item its path, an empty line, the number of its references, and those.
 * -ERR_BUILD: it is not among inputs. */
int refexport_text(struct local *l, const struct vec *inputs, const char *path, struct str *out,
		   struct err *e);
/* Of paths, separated by blanks, together: an array of objects. */
int refexport_json(struct local *l, struct arena *a, const struct vec *inputs, struct slice paths,
		   struct str *out, struct err *e);
