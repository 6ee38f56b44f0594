/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Texts of derivations as they come from clients: what is read and written again stays the same. */
#include <stdint.h>

#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int any_hash(void *arg, const char *path, struct digest *ret, struct err *e)
{
	(void)arg;
	(void)e;
	*ret = digest_of(DIGEST_SHA256, path, strlen(path));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str one = STR_INIT, two = STR_INIT;
	struct digest h;
	struct drv *d;

	if (drv_parse(&a, "x", (struct slice){ (const char *)data, size }, &d, NULL) < 0)
		return 0;
	drv_format(d, &one);
	/* Only memory may run out here, and then there is nothing to compare. */
	(void)drv_check_outputs("/gnu/store", d, any_hash, NULL, NULL);
	if (drv_modulo(d, any_hash, NULL, &h, NULL) < 0 || str_err(&one) < 0)
		return 0;
	if (drv_parse(&a, "x", str_slice(&one), &d, NULL) < 0)
		abort();
	drv_format(d, &two);
	if (!slice_eq(str_slice(&one), str_slice(&two)))
		abort();
	return 0;
}
