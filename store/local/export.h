/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Items with what the database knows of them, as bytes: the archive, a magic number, path,
 * references, deriver, and a signature of all that. A bundle is such items, each after a number 1,
 * and a number 0 at the end.
 */
#pragma once

#include "store/subst/keys.h"
#include "store/local/local.h"

/* Write one item, without the numbers of a bundle. signer NULL: unsigned. */
int export_item(struct local *l, const char *path, const struct signer *signer,
		struct nar_sink *out, struct err *e);
/* Add the items of a bundle, each of which must be signed by a trusted key. Their paths go to ret,
 * in arena; after a failure those before it stay. */
int export_read(struct local *l, struct arena *a, struct nar_source *in, const struct trust *trust,
		struct vec *ret, struct err *e);
