/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Store paths of either store: what is accepted has the length, the alphabet and the parts that
 * everything else relies on, and lies in the item that it is. */
#include <stdint.h>

#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *store, struct slice path)
{
	static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?=";
	size_t head = strlen(store) + 1 + STORE_HASH_CHARS + 1;
	struct slice name = store_path_name(store, path);

	if (memcmp(path.p, store, strlen(store)) || path.p[strlen(store)] != '/' ||
	    path.n != head + name.n || path.p[head - 1] != '-' || !name.n ||
	    name.n > STORE_NAME_MAX || name.p[0] == '.')
		abort();
	for (size_t i = head - 1 - STORE_HASH_CHARS; i < path.n; i++)
		if (!path.p[i] || !strchr(allowed, path.p[i]))
			abort();
	if (store_name_check(name, NULL) < 0 || !slice_eq(store_path_item(store, path), path))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const stores[] = { "/gnu/store", "/nix/store" };
	struct slice path = { (const char *)data, size };
	struct err e = ERR_INIT;

	for (int i = 0; i < 2; i++) {
		struct slice item = store_path_item(stores[i], path);

		if (store_path_check(stores[i], path, &e) == 0)
			check(stores[i], path);
		else if (!e.code)
			abort();
		if (item.n && (item.n > size || store_path_base(stores[i], item).n > item.n))
			abort();
	}
	return 0;
}
