/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/ca.h"

char *ca_text(struct arena *a, const struct digest *contents)
{
	char text[DIGEST_TEXT_MAX];

	digest_base32(contents, text);
	return arena_fmt(a, "text:%s:%s", digest_name(contents->algo), text);
}

char *ca_fixed(struct arena *a, bool recursive, const struct digest *hash)
{
	char text[DIGEST_TEXT_MAX];

	digest_base32(hash, text);
	return arena_fmt(a, "fixed:%s%s:%s", recursive ? "r:" : "", digest_name(hash->algo), text);
}

static bool skip(struct slice *s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (!slice_starts(*s, prefix))
		return false;
	s->p += n;
	s->n -= n;
	return true;
}

/* "ALGO:HASH" */
static int parse_hash(struct slice s, struct digest *ret)
{
	struct slice name;
	enum digest_algo algo;

	if (!slice_cut(&s, ':', &name) || !s.p || digest_algo_parse(name, &algo) < 0)
		return -ERR_SYNTAX;
	return digest_parse(algo, s, ret);
}

int ca_parse_fixed(struct slice ca, bool *ret_recursive, struct digest *ret)
{
	if (!skip(&ca, "fixed:"))
		return -ERR_SYNTAX;
	*ret_recursive = skip(&ca, "r:");
	return parse_hash(ca, ret);
}

int ca_parse_text(struct slice ca, struct digest *ret)
{
	int r = skip(&ca, "text:") ? parse_hash(ca, ret) : -ERR_SYNTAX;

	return r == 0 && ret->algo != DIGEST_SHA256 ? -ERR_SYNTAX : r;
}

bool ca_names(const char *store_dir, const struct store_info *info)
{
	auto_arena struct arena a = ARENA_INIT;
	struct slice ca = slice_of(info->ca), name;
	struct digest d;
	bool recursive;
	const char *path = NULL;

	if (store_path_check(store_dir, slice_of(info->path), NULL) < 0)
		return false;
	name = store_path_name(store_dir, slice_of(info->path));
	if (ca_parse_text(ca, &d) == 0)
		path = store_path_text_hash(&a, store_dir, name, &d, info->refs, info->nrefs, NULL);
	else if (ca_parse_fixed(ca, &recursive, &d) == 0 && info->nrefs == 0)
		path = store_path_fixed(&a, store_dir, name, recursive, &d, NULL);
	return path && !strcmp(path, info->path);
}
