/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/closure.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "lib/tab.h"
#include "lib/text.h"
#include "store/store.h"

#define LIMIT_ITEMS   1000000
#define LIMIT_CLOSURE (64 * 1024 * 1024)

static int item_parse(struct arena *a, const char *store_dir, struct slice path, struct slice *rest,
		      struct store_info **ret, struct err *e)
{
	struct store_info *info = ARENA_NEW(a, struct store_info);
	struct slice line;
	auto_vec struct vec refs = VEC_INIT;
	uint64_t n;

	int r = store_path_check(store_dir, path, e);
	if (r < 0)
		return r;
	if (!slice_cut(rest, '\n', &line) || !slice_cut(rest, '\n', &line) ||
	    text_u64(line, LIMIT_ITEMS, &n) < 0)
		return err_set(e, -ERR_SYNTAX, "item without a number of references");
	for (uint64_t i = 0; i < n; i++) {
		if (!slice_cut(rest, '\n', &line))
			return err_set(e, -ERR_SYNTAX, "item with too few references");
		if ((r = store_path_check(store_dir, line, e)) < 0)
			return r;
		vec_add(&refs, arena_slice(a, line));
	}
	vec_sort_str(&refs);
	vec_uniq_str(&refs);
	if (!info || refs.err || arena_err(a))
		return err_num(e, -ENOMEM, "closure");
	info->path = arena_slice(a, path);
	info->deriver = "";
	info->registered = 1;
	info->nar_hash.algo = DIGEST_SHA256;
	info->nrefs = refs.n;
	info->refs = arena_dup(a, refs.n ? (void *)refs.v : "", refs.n * sizeof(char *));
	if (!info->path || !info->refs)
		return err_num(e, -ENOMEM, "closure");
	*ret = info;
	return 0;
}

static int info_order(const void *a, const void *b)
{
	const struct store_info *x = *(const struct store_info *const *)a;
	const struct store_info *y = *(const struct store_info *const *)b;

	return strcmp(x->path, y->path);
}

int closure_parse(struct arena *a, const char *store_dir, struct slice text, struct vec *ret,
		  struct err *e)
{
	auto_tab struct tab seen = TAB_INIT;
	struct slice line;

	if (!text.n || text.p[text.n - 1] != '\n')
		return err_set(e, -ERR_SYNTAX, "closure: cut short");
	text.n--;
	while (slice_cut(&text, '\n', &line)) {
		struct store_info *info = NULL;
		bool fresh = false;

		if (ret->n >= LIMIT_ITEMS)
			return err_set(e, -ERR_LIMIT, "closure: too many items");
		int r = item_parse(a, store_dir, line, &text, &info, e);
		if (r < 0)
			return err_wrap(e, r, "closure");
		void **slot = tab_put(&seen, slice_of(info->path), &fresh);
		if (slot && !fresh)
			return err_set(e, -ERR_INVALID, "closure: %s stands twice", info->path);
		vec_add(ret, info);
	}
	if (seen.err || ret->err)
		return err_num(e, -ENOMEM, "closure");
	for (size_t i = 0; i < ret->n; i++) {
		const struct store_info *info = (const struct store_info *)ret->v[i];

		for (size_t k = 0; k < info->nrefs; k++)
			if (!tab_has(&seen, slice_of(info->refs[k])))
				return err_set(e, -ERR_INVALID, "closure: %s refers to %s, outside",
					       info->path, info->refs[k]);
	}
	qsort(ret->v, ret->n, sizeof(void *), info_order);
	return 0;
}

int closure_load(struct arena *a, const char *store_dir, const char *file, struct vec *ret,
		 struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r = file_read(AT_FDCWD, file, &text, LIMIT_CLOSURE, e);

	return r < 0 ? r : closure_parse(a, store_dir, str_slice(&text), ret, e);
}

static int item_query(struct arena *a, struct store_conn *conn, const char *path, struct vec *ret,
		      struct tab *want, struct err *e)
{
	struct store_info *info = NULL;
	int r = store_info(conn, a, path, &info, e);

	if (r < 0)
		return r;
	void **slot = tab_put(want, slice_of(info->path), NULL);
	struct digest *hash = arena_dup(a, &info->nar_hash, sizeof(info->nar_hash));
	if (!slot || !hash)
		return err_num(e, -ENOMEM, "closure");
	*slot = hash;
	info->deriver = "";
	info->registered = 1;
	vec_add(ret, info);
	return 0;
}

int closure_query(struct arena *a, struct store_conn *conn, const char *path, struct vec *ret,
		  struct tab *want, struct err *e)
{
	auto_vec struct vec paths = VEC_INIT;
	int r = store_closure(conn, a, &path, 1, &paths, e);

	for (size_t i = 0; i < paths.n && r == 0; i++)
		r = item_query(a, conn, (const char *)paths.v[i], ret, want, e);
	return r == 0 && ret->err ? err_num(e, -ENOMEM, "closure") : r;
}
