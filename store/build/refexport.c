/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/refexport.h"

#include <errno.h>

#include "lib/text.h"

static int add_closure(struct local *l, struct arena *a, const struct vec *inputs, const char *path,
		       struct vec *ret, struct err *e)
{
	if (!vec_has_str(inputs, path))
		return err_set(e, -ERR_BUILD,
			       "exportReferencesGraph: path `%s' is not in the input closure",
			       path);
	size_t first = ret->n;
	int r = local_closure(l, a, &path, 1, ret, e);
	size_t n = ret->n;
	for (size_t i = first; !r && i < n; i++) {
		if (!slice_ends(slice_of(ret->v[i]), ".drv"))
			continue;
		auto_vec struct vec outs = VEC_INIT;
		r = local_drv_outputs(l, a, ret->v[i], NULL, &outs, e);
		for (size_t k = 0; !r && k < outs.n; k++) {
			bool valid;
			const char *out = outs.v[k];
			r = local_is_valid(l, out, &valid, e);
			if (!r && valid)
				r = local_closure(l, a, &out, 1, ret, e);
		}
	}
	return r;
}

static int each_info(struct local *l, struct vec *all,
		     int (*add)(struct local *l, const struct store_info *info, struct str *out,
				struct err *e),
		     struct str *out, struct err *e)
{
	int r = 0;
	vec_sort_str(all);
	vec_uniq_str(all);
	for (size_t i = 0; !r && i < all->n; i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct store_info *info;
		r = local_info(l, &a, all->v[i], &info, e);
		if (!r)
			r = add(l, info, out, e);
	}
	return r ? r : all->err || str_err(out) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* ---- Text ------------------------------------------------------------------------------------ */

static int add_text(struct local *l, const struct store_info *info, struct str *out, struct err *e)
{
	str_addf(out, "%s\n\n%zu\n", info->path, info->nrefs);
	for (size_t k = 0; k < info->nrefs; k++)
		str_addf(out, "%s\n", info->refs[k]);
	return 0;
}

int refexport_text(struct local *l, const struct vec *inputs, const char *path, struct str *out,
		   struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec all = VEC_INIT;
	int r = add_closure(l, &a, inputs, path, &all, e);
	return r ? r : each_info(l, &all, add_text, out, e);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static int closure_size(struct local *l, const char *path, uint64_t *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec all = VEC_INIT;
	int r = local_closure(l, &a, &path, 1, &all, e);
	*ret = 0;
	for (size_t i = 0; !r && i < all.n; i++) {
		struct store_info *info;
		r = local_info(l, &a, all.v[i], &info, e);
		if (!r)
			*ret += info->nar_size;
	}
	return r;
}

static int add_json(struct local *l, const struct store_info *info, struct str *out, struct err *e)
{
	char hash[DIGEST_TEXT_MAX];
	uint64_t size;
	int r = closure_size(l, info->path, &size, e);
	digest_base32(&info->nar_hash, hash);
	str_add(out, out->len > 1 ? ",{" : "{");
	if (info->ca && *info->ca) {
		str_add(out, "\"ca\":");
		text_json(out, slice_of(info->ca));
		str_addc(out, ',');
	}
	str_addf(out,
		 "\"closureSize\":%llu,\"narHash\":\"sha256:%s\",\"narSize\":%llu,\"path\":\"%s\","
		 "\"references\":[",
		 (unsigned long long)size, hash, (unsigned long long)info->nar_size, info->path);
	for (size_t i = 0; i < info->nrefs; i++)
		str_addf(out, "%s\"%s\"", i ? "," : "", info->refs[i]);
	str_add(out, "]}");
	return r;
}

int refexport_json(struct local *l, struct arena *a, const struct vec *inputs, struct slice paths,
		   struct str *out, struct err *e)
{
	auto_vec struct vec all = VEC_INIT;
	int r = 0;
	for (struct slice path; !r && slice_cut(&paths, ' ', &path);) {
		const char *text = arena_slice(a, path);
		if (!text)
			r = err_set(e, -ENOMEM, "out of memory");
		else if (path.n)
			r = add_closure(l, a, inputs, text, &all, e);
	}
	str_addc(out, '[');
	if (!r)
		r = each_info(l, &all, add_json, out, e);
	str_addc(out, ']');
	return r;
}
