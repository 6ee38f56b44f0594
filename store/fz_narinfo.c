/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: narinfos of both forms (the first byte says which). Of what is accepted every path is
 * one of the store, and nothing of it is believed: no key is trusted. */
#include <errno.h>

#include "store/narinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const stores[] = { "/gnu/store", "/nix/store" };
	auto_arena struct arena a = ARENA_INIT;
	struct trust none = TRUST_INIT;
	struct err e = ERR_INIT;
	struct narinfo *n;
	enum dialect d = size && data[0] == 'G' ? DIALECT_GUIX : DIALECT_NIX;
	int r = size ? narinfo_parse(&a, d, stores[d],
				     (struct slice){ (const char *)data + 1, size - 1 }, &n, &e)
		     : -EINVAL;

	if (r < 0)
		return 0;
	if (store_path_check(stores[d], slice_of(n->info.path), NULL) || !n->nfiles ||
	    !n->info.nar_size)
		abort();
	for (size_t i = 0; i < n->info.nrefs; i++)
		if (store_path_check(stores[d], slice_of(n->info.refs[i]), NULL))
			abort();
	if (!*n->info.ca && narinfo_check(n, d, stores[d], &none, &e) == 0)
		abort();
	return 0;
}
