/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz entry: s-expressions of signatures and keys, and files of keys. The canonical form of a
 * canonical form is itself, and nobody's signature is believed. */
#include "store/format/crypto.h"
#include "store/subst/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct slice inside, unsigned depth)
{
	struct sexp_item item;

	while (sexp_next(&inside, &item))
		if (item.list && depth < 100)
			walk(item.v, depth + 1);
	if (depth == 0 && inside.n)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_str struct str canon = STR_INIT, again = STR_INIT, text = STR_INIT, third = STR_INIT;
	struct slice all = { (const char *)data, size };
	struct trust none = TRUST_INIT;
	struct err e = ERR_INIT;
	struct digest d;
	bool guix = false, nix = false;

	if (store_keys_check(all, &guix, &nix, &e) == 0 && !guix && !nix)
		abort();
	if (trust_check_any(&none, all, &d, &e) == 0)
		abort();
	if (sexp_canon(all, &canon) < 0)
		return 0;
	walk(str_slice(&canon), 0);
	if (sexp_canon(str_slice(&canon), &again) < 0 ||
	    !slice_eq(str_slice(&canon), str_slice(&again)))
		abort();
	sexp_format(str_slice(&canon), &text);
	if (sexp_canon(str_slice(&text), &third) == 0 &&
	    !slice_eq(str_slice(&canon), str_slice(&third)))
		abort();
	return 0;
}
