/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which generations of the system define a service so: by the identity of the definition. */
#pragma once

#include <stddef.h>

#include "lib/str.h"
#include "lib/vec.h"

struct defined {
	struct vec sets; /* owned, the newest generation first */
};

/* Read the sets of the newest generations. One that cannot be read is left out. */
void defined_load(struct defined *ret);
void defined_done(struct defined *d);
/* Add the numbers of those in which name is the definition id (32 hex digits), with sep between
 * them; how many there are. */
size_t defined_find(const struct defined *d, const char *name, const char *id, const char *sep,
		    struct str *out);
