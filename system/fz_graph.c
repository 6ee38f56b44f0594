/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the box sends, read by the parent. */
#include "system/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int any_hash(void *arg, const struct node *n, struct digest *ret, struct err *e)
{
	*ret = digest_of(DIGEST_SHA256, n->path.p, n->path.n);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct graph g = { 0 };
	struct err e = ERR_INIT;

	/* A refusal is as good as success; only a crash counts. */
	(void)graph_load(&g, STORE_DIR_DEFAULT, (struct slice){ (const char *)data, size },
			 any_hash, NULL, &e);
	graph_done(&g);
	return 0;
}
