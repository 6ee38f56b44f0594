/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/conf-file.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- Links ----------------------------------------------------------------------------------- */

char *profile_gen_link(struct profile *p, unsigned number)
{
	return links_path(&p->links, &p->arena, number);
}

char *profile_link(struct profile *p)
{
	return links_head(&p->links, &p->arena);
}

static int load(struct profile *p, struct err *e)
{
	struct err tmp = ERR_INIT;
	const char *target;
	int r = links_load(&p->links, &p->arena, &p->gens, e);

	if (r < 0)
		return r;
	r = links_selected(&p->links, &p->arena, &target, &tmp);
	if (r == 0 && !target)
		return 0;
	p->current = r == 0 ? links_number(&p->links, target) : 0;
	if (!p->current)
		return err_set(
			e, -ERR_INVALID,
			"%s/%s is there, but is not a profile: it does not lead to %s-N-link",
			p->links.dir, p->links.name, p->links.name);
	return 0;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int lock(struct profile *p, const char *verb, struct err *e)
{
	char *what = arena_fmt(&p->arena, "%s/%s: the profile", p->links.dir, p->links.name);
	int r = what ? links_lock(&p->links, what, verb, &p->lock, e) : no_memory(e);

	return r < 0 && r != -ERR_IN_USE ? err_wrap(e, r, "cannot lock the profile") : r;
}

int profile_open(struct profile *p, const char *link, const char *root, const char *store_dir,
		 bool change, const char *verb, struct err *e)
{
	char dir[PATH_MAX], *real;
	int r;

	if (!path_base(link)[0] || path_dir(dir, link) < 0)
		return err_set(e, -ERR_USAGE, "'%s' is not the name of a profile", link);
	real = realpath(dir, NULL); /* a later chdir does not matter */
	if (!real && (errno != ENOENT || change))
		return err_sys(e, "the directory of the profile: %s", dir);
	p->links = (struct links){
		.root = "",
		.dir = arena_str(&p->arena, real ? real : dir),
		.name = arena_str(&p->arena, path_base(link)),
		.store = arena_str(&p->arena, root),
		.store_dir = arena_str(&p->arena, store_dir),
	};
	free(real);
	if (arena_err(&p->arena))
		return no_memory(e);
	r = change ? lock(p, verb, e) : 0;
	return r < 0 ? r : load(p, e);
}

void profile_done(struct profile *p)
{
	fd_close(&p->lock);
	vec_done(&p->gens);
	arena_done(&p->arena);
}

const struct links_item *profile_find(const struct profile *p, unsigned number)
{
	for (size_t i = 0; i < p->gens.n; i++) {
		const struct links_item *g = p->gens.v[i];

		if (g->number == number)
			return g;
	}
	return NULL;
}

const struct links_item *profile_current(const struct profile *p)
{
	return p->current ? profile_find(p, p->current) : NULL;
}

int profile_check(const struct profile *p, struct err *e)
{
	if (!p->current || profile_current(p))
		return 0;
	return err_set(e, -ERR_INVALID,
		       "%s/%s leads to generation %u, which is not there [switch to another one]",
		       p->links.dir, p->links.name, p->current);
}

unsigned profile_next(const struct profile *p)
{
	const struct links_item *last = p->gens.n ? p->gens.v[p->gens.n - 1] : NULL;

	return MAX_OF(last ? last->number : 0, p->current) + 1;
}

int profile_select(struct profile *p, unsigned number, struct err *e)
{
	int r = links_select(&p->links, number, e);

	if (r == 0)
		p->current = number;
	return r;
}

int profile_deselect(struct profile *p, struct err *e)
{
	int r = links_deselect(&p->links, e);

	if (r == 0)
		p->current = 0;
	return r;
}

int profile_remove(struct profile *p, unsigned number, struct err *e)
{
	return links_remove(&p->links, number, e);
}

/* ---- Patterns -------------------------------------------------------------------------------- */

/* "7" or "2..5" */
static int match_range(const struct links_item *g, struct slice part, bool *ret)
{
	const char *dots = memmem(part.p, part.n, "..", 2);
	struct slice low = part, high = part;
	uint64_t a, b;

	if (dots) {
		low.n = (size_t)(dots - part.p);
		high = (struct slice){ dots + 2, part.n - low.n - 2 };
	}
	if (text_u64(low, LINKS_NUMBER_MAX, &a) < 0 || text_u64(high, LINKS_NUMBER_MAX, &b) < 0)
		return -ERR_SYNTAX;
	if (g->number >= a && g->number <= b)
		*ret = true;
	return 0;
}

bool profile_pattern_is_age(const char *pattern)
{
	uint64_t ns;

	return pattern[0] && strspn(pattern, "0123456789.,") < strlen(pattern) &&
	       text_duration(slice_of(pattern), &ns) == 0;
}

int profile_matches(const struct links_item *g, const char *pattern, int64_t now, bool *ret,
		    struct err *e)
{
	struct slice rest = slice_of(pattern), part;
	uint64_t ns = 0;
	int r = 0;

	*ret = false;
	if (profile_pattern_is_age(pattern)) {
		(void)text_duration(slice_of(pattern), &ns);
		*ret = g->date < now - (int64_t)(ns / 1000000000u);
		return 0;
	}
	while (r == 0 && slice_cut(&rest, ',', &part))
		r = match_range(g, part, ret);
	return r == 0 ? 0
		      : err_set(e, -ERR_USAGE,
				"'%s' means no generations: give 7, 2..5, a list with commas, or "
				"30d",
				pattern);
}

/* ---- Manifest -------------------------------------------------------------------------------- */

#define AT(f) offsetof(struct profile_entry, f)
static const struct conf_key entry_keys[] = {
	CONF_KEY("version", conf_parse_str, AT(version), "", "of the package", false),
	CONF_KEY("output", conf_parse_str, AT(output), "out", "which one", false),
	CONF_KEY("path", conf_parse_str, AT(path), NULL, "store item", false),
};

struct reader {
	struct vec *entries;
	struct arena *a;
};

static int entry_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct reader *r = arg;
	struct profile_entry *x = ARENA_NEW(r->a, struct profile_entry);

	if (!slice_is(kind, "package") || !name.n)
		return conf_error(c, "unknown section");
	if (r->entries->n == LIMIT_PROFILE_WORDS)
		return conf_error(c, "more than %d packages", LIMIT_PROFILE_WORDS);
	if (!x)
		return conf_no_memory(c);
	*x = (struct profile_entry){ arena_slice(r->a, name), "", "out", "" };
	vec_add(r->entries, x);
	c->object = x;
	return r->entries->err || !x->name ? conf_no_memory(c) : 0;
}

static const struct conf_file manifest_file = {
	.limit = LIMIT_PROFILE_TEXT,
	.keys = entry_keys,
	.nkeys = ARRAY_LEN(entry_keys),
	.section = entry_section,
};

int profile_manifest(struct profile *p, const char *item, struct vec *ret, struct err *e)
{
	char *file = arena_fmt(&p->arena, "%s%s/manifest", p->links.store, item);
	struct reader r = { ret, &p->arena };
	int rc;

	if (!file)
		return no_memory(e);
	rc = conf_load(&manifest_file, file, &r, NULL, &p->arena, e);
	if (rc == -ENOENT)
		return err_hint(e, rc, "this is not a profile of cairn package");
	for (size_t i = 0; rc == 0 && i < ret->n; i++) {
		const struct profile_entry *x = ret->v[i];

		if (store_path_check(p->links.store_dir, slice_of(x->path), e) < 0)
			rc = err_wrap(e, e->code, "%s: package %s", file, x->name);
	}
	return rc;
}

void profile_manifest_text(const struct vec *entries, struct str *out)
{
	for (size_t i = 0; i < entries->n; i++) {
		const struct profile_entry *x = entries->v[i];

		str_addf(out, "[package %s]\n", x->name);
		if (x->version[0])
			str_addf(out, "version = %s\n", x->version);
		str_addf(out, "output = %s\npath = %s\n", x->output, x->path);
	}
}
