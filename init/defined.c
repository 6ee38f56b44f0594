/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/defined.h"

#include <dirent.h>
#include <stdlib.h>

#include "init/set.h"
#include "lib/text.h"

#define PROFILES	 "/var/guix/profiles"
#define LIMIT_GENERATION 9999999
#define GENERATIONS_MAX	 64 /* that are looked at */

struct generation {
	uint64_t number;
	struct svc_set *set; /* owned; NULL: not read */
};

/* "system-12-link" */
static bool parse_link(const char *name, uint64_t *ret)
{
	struct slice s = slice_of(name);

	if (!slice_starts(s, "system-") || !slice_ends(s, "-link") || s.n < 13)
		return false;
	return text_u64((struct slice){ s.p + 7, s.n - 12 }, LIMIT_GENERATION, ret) == 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct generation *x = *(struct generation *const *)a,
				*y = *(struct generation *const *)b;

	return (x->number < y->number) - (x->number > y->number);
}

void defined_load(struct defined *ret)
{
	DIR *dir = opendir(PROFILES);
	struct dirent *ent;
	uint64_t number;

	*ret = (struct defined){ .sets = VEC_INIT };
	while (dir && (ent = readdir(dir))) {
		struct generation *g =
			parse_link(ent->d_name, &number) ? calloc(1, sizeof(*g)) : NULL;
		if (!g)
			continue;
		g->number = number;
		vec_add(&ret->sets, g);
		if (ret->sets.err)
			free(g);
	}
	if (dir)
		closedir(dir);
	if (ret->sets.n)
		qsort(ret->sets.v, ret->sets.n, sizeof(void *), newest_first);
	for (size_t i = 0; i < ret->sets.n && i < GENERATIONS_MAX; i++) {
		struct generation *g = ret->sets.v[i];
		auto_str struct str path = STR_INIT;
		str_addf(&path, PROFILES "/system-%llu-link/services/set",
			 (unsigned long long)g->number);
		if (str_err(&path) || svc_set_load(path.buf, &g->set, NULL) < 0)
			g->set = NULL;
	}
}

void defined_done(struct defined *d)
{
	for (size_t i = 0; i < d->sets.n; i++) {
		struct generation *g = d->sets.v[i];
		svc_set_free(g->set);
		free(g);
	}
	vec_done(&d->sets);
}

size_t defined_find(const struct defined *d, const char *name, const char *id, const char *sep,
		    struct str *out)
{
	size_t found = 0;

	for (size_t i = 0; i < d->sets.n; i++) {
		const struct generation *g = d->sets.v[i];
		char text[40];
		int k = g->set ? svc_set_find(g->set, slice_of(name)) : -1;
		if (k < 0)
			continue;
		snprintf(text, sizeof(text), "%016llx%016llx",
			 (unsigned long long)g->set->v[k]->id[0],
			 (unsigned long long)g->set->v[k]->id[1]);
		if (strcmp(text, id) == 0)
			str_addf(out, "%s%llu", found++ ? sep : "", (unsigned long long)g->number);
	}
	return found;
}
