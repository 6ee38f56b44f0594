/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Service sets, and overrides of them after a line "%%". What was read must be whole, and equal to
 * itself. */
#include <stdlib.h>

#include "init/set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice overrides;

static void read_overrides(const char *state_directory, struct str *out)
{
	(void)state_directory;
	str_adds(out, overrides);
}

static void check_edges(const struct svc_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		for (int kind = 0; kind < SVC_EDGE_MAX; kind++) {
			const struct svc_edges *g = &set->edges[i];
			for (size_t k = 0; k < g->nto[kind]; k++)
				if (g->to[kind][k] >= set->n)
					abort();
			for (size_t k = 0; k < g->nfrom[kind]; k++)
				if (g->from[kind][k] >= set->n)
					abort();
		}
}

static void check_equal(const struct svc_set *set)
{
	uint8_t *changes = calloc(2 * set->n + 1, 1);

	if (!changes)
		abort();
	svc_set_compare(set, set, changes, changes + set->n);
	for (size_t i = 0; i < 2 * set->n; i++)
		if (changes[i] != SVC_KEEP)
			abort();
	free(changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = { (const char *)data, size };
	const char *mark = size ? memmem(data, size, "\n%%\n", 4) : NULL;
	struct svc_set *set = NULL;
	struct err e = ERR_INIT;

	overrides = (struct slice){ 0 };
	if (mark) {
		text.n = (size_t)(mark - text.p) + 1;
		overrides = (struct slice){ mark + 4, size - text.n - 3 };
	}
	if (svc_set_parse_with(text, "set", read_overrides, &set, &e) < 0) {
		if (!e.code || !e.msg[0])
			abort();
		return 0;
	}
	check_edges(set);
	check_equal(set);
	for (size_t i = 0; i < set->n; i++)
		if (svc_set_find(set, slice_of(set->v[i]->name)) != (int)i)
			abort();
	svc_set_override(set, (struct slice){ 0 });
	svc_set_free(set);
	return 0;
}
