/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn store query: what the database knows of store paths. */
#include <errno.h>
#include <stdio.h>

#include "lib/path.h"
#include "lib/tab.h"
#include "lib/text.h"
#include "store/cmd_store.h"

struct ctx {
	struct store_opts store;
	bool references, referrers, requisites, deriver, derivers, outputs, hash, size;
	bool tree, graph, json, all, physical;
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "references", 0, CMD_FLAG, offsetof(struct ctx, references), NULL,
	  "the paths it refers to" },
	{ "referrers", 0, CMD_FLAG, offsetof(struct ctx, referrers), NULL,
	  "the paths that refer to it" },
	{ "requisites", 'R', CMD_FLAG, offsetof(struct ctx, requisites), NULL,
	  "its closure: everything it needs, itself included" },
	{ "deriver", 'd', CMD_FLAG, offsetof(struct ctx, deriver), NULL,
	  "the derivation that made it" },
	{ "derivers", 0, CMD_FLAG, offsetof(struct ctx, derivers), NULL,
	  "all valid derivations that would make it" },
	{ "outputs", 0, CMD_FLAG, offsetof(struct ctx, outputs), NULL,
	  "the outputs of a derivation" },
	{ "hash", 0, CMD_FLAG, offsetof(struct ctx, hash), NULL, "the hash of its archive" },
	{ "size", 0, CMD_FLAG, offsetof(struct ctx, size), NULL, "the size of its archive" },
	{ "tree", 0, CMD_FLAG, offsetof(struct ctx, tree), NULL, "its references as a tree" },
	{ "graph", 0, CMD_FLAG, offsetof(struct ctx, graph), NULL,
	  "its closure as a graph for dot(1)" },
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, json), NULL, "everything, as JSON" },
	{ "all", 0, CMD_FLAG, offsetof(struct ctx, all), NULL, "all valid paths" },
	{ "physical", 0, CMD_FLAG, offsetof(struct ctx, physical), NULL,
	  "print where the items lie on disk" },
};

/* One run of the command. */
struct query {
	const struct ctx *x;
	struct store_conn *c;
	struct arena a;
	struct tab seen; /* paths printed */
	struct err *e;
};

static void print_paths(struct query *q, const struct vec *paths)
{
	for (size_t i = 0; i < paths->n; i++) {
		bool is_new = true;

		(void)tab_put(&q->seen, slice_of(paths->v[i]), &is_new);
		if (is_new)
			store_print_path(q->c, paths->v[i], q->x->physical);
	}
}

static int info_of(struct query *q, const char *path, struct store_info **ret)
{
	return store_info(q->c, &q->a, path, ret, q->e);
}

/* ---- Simple questions -------------------------------------------------------------------------
 */

static int query_references(struct query *q, const char *path)
{
	auto_vec struct vec v = VEC_INIT;
	struct store_info *info;
	int r = info_of(q, path, &info);

	for (size_t i = 0; r == 0 && i < info->nrefs; i++)
		vec_add(&v, (void *)(uintptr_t)info->refs[i]);
	if (r == 0)
		print_paths(q, &v);
	return r;
}

typedef int list_fn(struct store_conn *c, struct arena *a, const char *path, struct vec *ret,
		    struct err *e);

static int query_list(struct query *q, const char *path, list_fn *fn)
{
	auto_vec struct vec v = VEC_INIT;
	int r = fn(q->c, &q->a, path, &v, q->e);

	if (r == 0)
		print_paths(q, &v);
	return r;
}

static int query_referrers(struct query *q, const char *path)
{
	struct store_info *info;
	int r = info_of(q, path, &info); /* nothing refers to what is not valid: say so */

	return r < 0 ? r : query_list(q, path, store_referrers);
}

static int query_derivers(struct query *q, const char *path)
{
	return query_list(q, path, store_derivers);
}

static int query_outputs(struct query *q, const char *path)
{
	if (!slice_ends(slice_of(path), ".drv"))
		return err_set(q->e, -ERR_INVALID, "'%s' is no derivation", path);
	return query_list(q, path, store_drv_outputs);
}

static int query_requisites(struct query *q, const char *path)
{
	auto_vec struct vec v = VEC_INIT;
	int r = store_closure(q->c, &q->a, &path, 1, &v, q->e);

	if (r == 0)
		print_paths(q, &v);
	return r;
}

static int query_deriver(struct query *q, const char *path)
{
	struct store_info *info;
	int r = info_of(q, path, &info);

	if (r == 0 && *info->deriver)
		store_print_path(q->c, info->deriver, q->x->physical);
	else if (r == 0)
		puts("unknown-deriver");
	return r;
}

static int query_hash(struct query *q, const char *path)
{
	char text[DIGEST_TEXT_MAX];
	struct store_info *info;
	int r = info_of(q, path, &info);

	if (r < 0)
		return r;
	digest_base32(&info->nar_hash, text);
	printf("sha256:%s\n", text);
	return 0;
}

static int query_size(struct query *q, const char *path)
{
	struct store_info *info;
	int r = info_of(q, path, &info);

	if (r == 0)
		printf("%llu\n", (unsigned long long)info->nar_size);
	return r;
}

static int query_info(struct query *q, const char *path)
{
	char hash[DIGEST_TEXT_MAX], size[16];
	struct store_info *info;
	const char *root;
	int r = info_of(q, path, &info);

	if (r < 0)
		return r;
	digest_base32(&info->nar_hash, hash);
	text_human(info->nar_size, size);
	root = q->x->physical ? store_conn_root(q->c) : "";
	printf("path: %s%s\nhash: sha256:%s\nsize: %llu (%s)\n", root, info->path, hash,
	       (unsigned long long)info->nar_size, size);
	if (*info->deriver)
		printf("deriver: %s%s\n", root, info->deriver);
	for (size_t i = 0; i < info->nrefs; i++)
		printf("reference: %s%s\n", root, info->refs[i]);
	return 0;
}

/* ---- Trees ------------------------------------------------------------------------------------
 */

/* prefix is what stands before the lines of this node's children. */
static int print_tree(struct query *q, const char *path, struct str *prefix, const char *branch)
{
	struct store_info *info;
	size_t len = prefix->len, last = SIZE_MAX;
	bool is_new = true;
	int r = info_of(q, path, &info);

	if (r < 0)
		return r;
	if (!tab_put(&q->seen, slice_of(info->path), &is_new))
		return err_num(q->e, -ENOMEM, "tree");
	for (size_t i = 0; i < info->nrefs; i++)
		if (strcmp(info->refs[i], path))
			last = i;
	printf("%.*s%s%s%s%s\n", (int)prefix->len, prefix->buf, branch,
	       q->x->physical ? store_conn_root(q->c) : "", path,
	       is_new || last == SIZE_MAX ? "" : " [...]");
	if (!is_new)
		return 0;
	if (*branch)
		str_add(prefix, strcmp(branch, "`---") ? "|   " : "    ");
	for (size_t i = 0; r == 0 && i < info->nrefs; i++)
		if (strcmp(info->refs[i], path))
			r = print_tree(q, info->refs[i], prefix, i == last ? "`---" : "+---");
	str_cut(prefix, len);
	return r;
}

static int query_tree(struct query *q, const char *path)
{
	auto_str struct str prefix = STR_INIT;

	return print_tree(q, path, &prefix, "");
}

/* ---- Graphs and JSON --------------------------------------------------------------------------
 */

static int closure_of(struct query *q, const struct vec *paths, struct vec *ret)
{
	return store_closure(q->c, &q->a, (const char *const *)paths->v, paths->n, ret, q->e);
}

static int print_graph(struct query *q, const struct vec *paths)
{
	auto_vec struct vec all = VEC_INIT;
	int r = closure_of(q, paths, &all);

	if (r < 0)
		return r;
	/* Store paths hold no character that needs quoting beyond the quotes. */
	printf("digraph store {\n\trankdir = LR;\n\tnode [shape = box];\n");
	for (size_t i = 0; r == 0 && i < all.n; i++) {
		const char *base = path_base(all.v[i]);
		struct store_info *info;

		printf("\t\"%s\" [label = \"%s\"];\n", base, base + STORE_HASH_CHARS + 1);
		r = info_of(q, all.v[i], &info);
		for (size_t k = 0; r == 0 && k < info->nrefs; k++)
			if (strcmp(info->refs[k], all.v[i]))
				printf("\t\"%s\" -> \"%s\";\n", base, path_base(info->refs[k]));
	}
	printf("}\n");
	return r;
}

static void json_field(struct str *s, const char *name, const char *value)
{
	str_addf(s, ",\"%s\":", name);
	text_json(s, slice_of(value));
}

static void json_info(struct query *q, struct str *s, const struct store_info *info)
{
	char hash[DIGEST_TEXT_MAX];

	digest_base32(&info->nar_hash, hash);
	str_add(s, "{\"path\":");
	text_json(s, slice_of(info->path));
	json_field(s, "physical", store_conn_physical(q->c, &q->a, info->path));
	str_addf(s, ",\"narHash\":\"sha256:%s\",\"narSize\":%llu,\"registrationTime\":%llu", hash,
		 (unsigned long long)info->nar_size, (unsigned long long)info->registered);
	if (*info->deriver)
		json_field(s, "deriver", info->deriver);
	str_add(s, ",\"references\":[");
	for (size_t i = 0; i < info->nrefs; i++) {
		if (i)
			str_addc(s, ',');
		text_json(s, slice_of(info->refs[i]));
	}
	str_add(s, "]}");
}

static int print_json(struct query *q, const struct vec *paths)
{
	auto_str struct str s = STR_INIT;
	auto_vec struct vec all = VEC_INIT;
	int r = 0;

	if (q->x->requisites)
		r = closure_of(q, paths, &all);
	else
		for (size_t i = 0; i < paths->n; i++)
			vec_add(&all, paths->v[i]);
	str_add(&s, "[");
	for (size_t i = 0; r == 0 && i < all.n; i++) {
		struct store_info *info;

		r = info_of(q, all.v[i], &info);
		if (r == 0) {
			str_add(&s, i ? ",\n " : "\n ");
			json_info(q, &s, info);
		}
	}
	str_add(&s, "\n]\n");
	if (r == 0 && (str_err(&s) < 0 || all.err < 0))
		r = err_num(q->e, -ENOMEM, "JSON");
	if (r == 0)
		fputs(s.buf, stdout);
	return r;
}

/* ---- The command ------------------------------------------------------------------------------
 */

typedef int query_fn(struct query *q, const char *path);

static query_fn *chosen(const struct ctx *x, unsigned *ret_count)
{
	const struct {
		bool given;
		query_fn *fn;
	} rows[] = {
		{ x->references, query_references },
		{ x->referrers, query_referrers },
		{ x->deriver, query_deriver },
		{ x->derivers, query_derivers },
		{ x->outputs, query_outputs },
		{ x->hash, query_hash },
		{ x->size, query_size },
		{ x->tree, query_tree },
		{ x->requisites && !x->json, query_requisites },
	};
	query_fn *fn = query_info;

	*ret_count = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].given) {
			fn = rows[i].fn;
			++*ret_count;
		}
	*ret_count += x->graph + x->json + x->all;
	return fn;
}

static int answer(struct query *q, struct cmd_env *env, query_fn *fn)
{
	auto_vec struct vec paths = VEC_INIT;
	int r = store_operands(q->c, &q->a, env->args, env->nargs, &paths, q->e);

	if (r == 0 && q->x->all)
		r = store_all_valid(q->c, &q->a, &paths, q->e);
	if (r < 0)
		return r;
	if (q->x->graph)
		return print_graph(q, &paths);
	if (q->x->json)
		return print_json(q, &paths);
	if (q->x->all) {
		print_paths(q, &paths);
		return 0;
	}
	for (size_t i = 0; r == 0 && i < paths.n; i++) {
		if (i && fn == query_info)
			putchar('\n');
		r = fn(q, paths.v[i]);
	}
	return r;
}

static int run(struct cmd_env *env, struct err *e)
{
	struct query q = { .x = env->ctx, .e = e };
	unsigned count;
	query_fn *fn = chosen(q.x, &count);
	int r;

	if (count > 1)
		return cmd_usage(e, "only one question at a time");
	if (q.x->all != !env->nargs)
		return cmd_usage(e, q.x->all ? "--all takes no paths" : "which store path?");
	r = store_open(&q.x->store, &q.c, e);
	if (r == 0)
		r = answer(&q, env, fn);
	store_close(q.c);
	tab_done(&q.seen);
	arena_done(&q.a);
	return r < 0 ? r : store_finish_output(e);
}

const struct cmd store_cmd_query = {
	.name = "query",
	.synopsis = "[PATH...]",
	.summary = "what is known of store paths",
	.examples = "cairn store query --tree /run/current-system\n"
		    "cairn store query --referrers $(cairn build zlib)    who needs it\n"
		    "cairn store query --json --all",
	.help = "Without an option: path, hash, size, deriver and references. A PATH may also be "
		"a\n"
		"symbolic link to an item, a path below one, or where it lies on disk.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.run = run,
};
