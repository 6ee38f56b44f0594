/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn store: collecting, deleting, and what protects from it. */
#include "store/cmd_store.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "lib/text.h"
#include "store/local/db.h"
#include "store/local/local.h"

/* ---- delete, gc -------------------------------------------------------------------------------
 */

struct gc_ctx {
	struct store_opts store;
	const char *max_freed, *free;
	bool dry_run, dead, live, roots, busy, physical, vacuum, json;
};

static int print_json(const struct str *s, struct err *e)
{
	if (str_err(s) < 0)
		return err_num(e, -ENOMEM, "result");
	fputs(s->buf, stdout);
	return store_finish_output(e);
}

static void add_paths(struct store_conn *c, const struct gc_ctx *x, const struct vec *paths,
		      struct str *s)
{
	auto_arena struct arena a = ARENA_INIT;

	str_addc(s, '[');
	for (size_t i = 0; i < paths->n; i++) {
		const char *path =
			x->physical ? store_conn_physical(c, &a, paths->v[i]) : paths->v[i];

		str_add(s, i ? ",\n  " : "\n  ");
		text_json(s, slice_of(path ? path : ""));
	}
	str_add(s, paths->n ? "\n]" : "]");
	if (arena_err(&a) < 0)
		s->err = -ENOMEM;
}

static int report_gc_json(struct store_conn *c, const struct gc_ctx *x, const struct vec *paths,
			  uint64_t bytes, struct err *e)
{
	auto_str struct str s = STR_INIT;

	str_addf(&s, "{\"dry_run\":%s,\"items\":%zu,\"bytes\":%llu,\"paths\":",
		 x->dry_run ? "true" : "false", paths->n, (unsigned long long)bytes);
	add_paths(c, x, paths, &s);
	str_add(&s, "}\n");
	return print_json(&s, e);
}

/* What was collected: paths on standard output, the sum on standard error. */
static int report_gc(struct store_conn *c, const struct gc_ctx *x, const struct vec *paths,
		     uint64_t bytes, const char *what, struct err *e)
{
	char human[16];

	if (x->json)
		return report_gc_json(c, x, paths, bytes, e);
	for (size_t i = 0; i < paths->n; i++)
		store_print_path(c, paths->v[i], x->physical);
	text_human(bytes, human);
	fprintf(stderr, "%zu store path%s, %s %s\n", paths->n, paths->n == 1 ? "" : "s", human,
		what);
	return store_finish_output(e);
}

static int run_delete(struct cmd_env *env, struct err *e)
{
	struct gc_ctx *x = env->ctx;
	struct store_conn *c = NULL;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT, deleted = VEC_INIT;
	uint64_t bytes = 0;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		r = store_operands(c, &a, env->args, env->nargs, &paths, e);
	if (r == 0)
		r = store_gc(c, &a, STORE_GC_DELETE_THESE, (const char *const *)paths.v, paths.n,
			     UINT64_MAX, &deleted, &bytes, e);
	if (r == 0)
		r = report_gc(c, x, &deleted, bytes, "freed", e);
	store_close(c);
	return r;
}

static const struct cmd_opt delete_options[] = {
	STORE_OPTIONS_BASIC(struct gc_ctx, store),
	{ "json", 0, CMD_FLAG, offsetof(struct gc_ctx, json), NULL, "what went as JSON" },
	{ "physical", 0, CMD_FLAG, offsetof(struct gc_ctx, physical), NULL,
	  "print where the items lay on disk" },
};

const struct cmd store_cmd_delete = {
	.name = "delete",
	.synopsis = "PATH...",
	.summary = "delete store paths that nothing needs",
	.examples = "cairn store delete $(cairn build zlib)",
	.help = "Fails when a path is reachable from a root. What refers to the paths goes with "
		"them.",
	CMD_OPTS(delete_options),
	.context_size = sizeof(struct gc_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_delete,
};

/* How much has to go until text, a size, is free where the store is. */
static int missing_space(struct store_conn *c, const char *text, uint64_t *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *dir = store_conn_physical(c, &a, store_conn_dir(c));
	struct statvfs v;
	uint64_t want = 0, have;

	(void)text_size(slice_of(text), &want); /* was looked at before */
	if (!dir)
		return err_num(e, -ENOMEM, "free space");
	if (statvfs(dir, &v) < 0)
		return err_sys(e, "free space of %s", dir);
	have = (uint64_t)v.f_bavail * v.f_frsize;
	*ret = want > have ? want - have : 0;
	return 0;
}

static int print_paths(struct store_conn *c, const struct gc_ctx *x, const struct vec *paths,
		       struct err *e)
{
	auto_str struct str s = STR_INIT;

	for (size_t i = 0; !x->json && i < paths->n; i++)
		store_print_path(c, paths->v[i], x->physical);
	if (!x->json)
		return store_finish_output(e);
	add_paths(c, x, paths, &s);
	str_addc(&s, '\n');
	return print_json(&s, e);
}

static int print_roots(struct store_conn *c, bool json, struct err *e);

static int check_gc(const struct gc_ctx *x, uint64_t *ret_max, struct err *e)
{
	uint64_t size;

	if (x->dry_run + x->dead + x->live + x->roots + x->busy + x->vacuum > 1)
		return cmd_usage(e, "only one of --dry-run, --list-… and --vacuum-database can be "
				    "given");
	if (x->max_freed && x->free)
		return cmd_usage(e, "--max-freed and --free do not go together");
	if ((x->dry_run || x->dead || x->live || x->roots || x->busy || x->vacuum) &&
	    (x->max_freed || x->free))
		return cmd_usage(e, "nothing is freed with --dry-run, --list-… and "
				    "--vacuum-database");
	if (x->vacuum && x->store.socket)
		return cmd_usage(e, "--vacuum-database works on the database itself, without "
				    "--socket");
	if (x->max_freed && text_size(slice_of(x->max_freed), ret_max) < 0)
		return cmd_usage(e, "'%s' is no size [like 500M]", x->max_freed);
	if (x->free && text_size(slice_of(x->free), &size) < 0)
		return cmd_usage(e, "'%s' is no size [like 20G]", x->free);
	return 0;
}

static int collect(struct store_conn *c, const struct gc_ctx *x, uint64_t max, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT;
	enum store_gc action = x->live		       ? STORE_GC_LIVE
			       : x->dry_run || x->dead ? STORE_GC_DEAD
						       : STORE_GC_DELETE;
	uint64_t bytes = 0;
	int r = x->free ? missing_space(c, x->free, &max, e) : 0;

	if (r == 0 && max)
		r = store_gc(c, &a, action, NULL, 0, max, &paths, &bytes, e);
	if (r < 0)
		return r;
	if (x->live || x->dead)
		return print_paths(c, x, &paths, e);
	return report_gc(c, x, &paths, bytes, x->dry_run ? "would be freed" : "freed", e);
}

/* What processes use: each item once. */
static int print_busy(struct store_conn *c, const struct gc_ctx *x, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec pairs = VEC_INIT, items = VEC_INIT;
	int r = store_roots(c, &a, &pairs, e);

	for (size_t i = 1; r == 0 && i < pairs.n; i += 2)
		vec_add(&items, pairs.v[i]);
	vec_sort_str(&items);
	vec_uniq_str(&items);
	if (r == 0 && items.err)
		r = err_num(e, items.err, "gc");
	return r == 0 ? print_paths(c, x, &items, e) : r;
}

static int print_vacuumed(const struct gc_ctx *x, uint64_t before, uint64_t after, struct err *e)
{
	char was[16], is[16];

	if (x->json) {
		printf("{\"before\":%llu,\"after\":%llu}\n", (unsigned long long)before,
		       (unsigned long long)after);
		return store_finish_output(e);
	}
	text_human(before, was);
	text_human(after, is);
	fprintf(stderr, "the database takes %s, before it was %s\n", is, was);
	return 0;
}

/* The database's files are its owner's, who needs no daemon for that. */
static int vacuum_database(struct gc_ctx *x, struct err *e)
{
	struct local_opts o = { .store_dir = x->store.store_dir,
				.state_dir = x->store.state_dir,
				.dialect = DIALECT_ANY };
	auto_str struct str root = STR_INIT;
	struct store_conn *c = NULL;
	struct local *l = NULL;
	struct db *db;
	uint64_t before = 0, after = 0;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		str_add(&root, store_conn_root(c));
	store_close(c);
	if (r == 0 && str_err(&root) < 0)
		r = err_num(e, -ENOMEM, "database");
	if (r < 0)
		return r;
	o.root = root.len ? root.buf : "";
	r = local_open(&o, &l, e);
	if (r == 0)
		r = local_db(l, &db, e);
	if (r == 0)
		r = db_vacuum(db, &before, &after, e);
	local_close(l);
	return r == 0 ? print_vacuumed(x, before, after, e) : r;
}

static int run_gc(struct cmd_env *env, struct err *e)
{
	struct gc_ctx *x = env->ctx;
	struct store_conn *c = NULL;
	uint64_t max = UINT64_MAX;
	int r = check_gc(x, &max, e);

	x->store.busy = x->busy;
	if (r == 0 && x->vacuum)
		return vacuum_database(x, e);
	if (r == 0)
		r = store_open(&x->store, &c, e);
	if (r == 0)
		r = x->busy    ? print_busy(c, x, e)
		    : x->roots ? print_roots(c, x->json, e)
			       : collect(c, x, max, e);
	store_close(c);
	return r;
}

static const struct cmd_opt gc_options[] = {
	STORE_OPTIONS_BASIC(struct gc_ctx, store),
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct gc_ctx, dry_run), NULL,
	  "only say what would go" },
	{ "free", 'F', CMD_STR, offsetof(struct gc_ctx, free), "SIZE",
	  "delete until about this much is free on the disk" },
	{ "json", 0, CMD_FLAG, offsetof(struct gc_ctx, json), NULL,
	  "what went, or what is listed, as JSON" },
	{ "list-busy", 0, CMD_FLAG, offsetof(struct gc_ctx, busy), NULL,
	  "print what running processes use" },
	{ "list-dead", 0, CMD_FLAG, offsetof(struct gc_ctx, dead), NULL,
	  "print what would go, without a sum" },
	{ "list-live", 0, CMD_FLAG, offsetof(struct gc_ctx, live), NULL, "print what stays" },
	{ "list-roots", 0, CMD_FLAG, offsetof(struct gc_ctx, roots), NULL,
	  "print roots, as the command roots does" },
	{ "max-freed", 'C', CMD_STR, offsetof(struct gc_ctx, max_freed), "SIZE",
	  "stop when about this much is freed (K M G T)" },
	{ "physical", 0, CMD_FLAG, offsetof(struct gc_ctx, physical), NULL,
	  "print where the items lay on disk" },
	{ "vacuum-database", 0, CMD_FLAG, offsetof(struct gc_ctx, vacuum), NULL,
	  "only make the database's file as small as it can be" },
};

const struct cmd store_cmd_gc = {
	.name = "gc",
	.summary = "delete everything that no root needs",
	.examples = "cairn store gc -n       what would go\n"
		    "cairn store gc -F 10G   until about 10 GiB are free",
	.help = "Paths go to standard output, their number and size to standard error. Refuses\n"
		"when directories of roots seem not to be mounted, or when the clock cannot be\n"
		"right.",
	CMD_OPTS(gc_options),
	.context_size = sizeof(struct gc_ctx),
	.run = run_gc,
};

/* ---- roots ------------------------------------------------------------------------------------
 */

struct roots_ctx {
	struct store_opts store;
	bool json;
};

static int root_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_root_json(const char *link, const char *target, bool first)
{
	auto_str struct str s = STR_INIT;

	str_add(&s, first ? "\n  {\"link\":" : ",\n  {\"link\":");
	text_json(&s, slice_of(link));
	str_add(&s, ",\"target\":");
	text_json(&s, slice_of(target));
	str_add(&s, "}");
	fputs(s.buf, stdout);
}

static int print_roots(struct store_conn *c, bool json, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec pairs = VEC_INIT;
	int r = store_roots(c, &a, &pairs, e);

	if (r < 0)
		return r;
	qsort(pairs.v, pairs.n / 2, 2 * sizeof(*pairs.v), root_cmp);
	if (json)
		fputs("[", stdout);
	for (size_t i = 0; i + 1 < pairs.n; i += 2) {
		if (json)
			print_root_json(pairs.v[i], pairs.v[i + 1], i == 0);
		else
			printf("%s -> %s\n", (char *)pairs.v[i], (char *)pairs.v[i + 1]);
	}
	if (json)
		fputs("\n]\n", stdout);
	return store_finish_output(e);
}

static int run_roots(struct cmd_env *env, struct err *e)
{
	struct roots_ctx *x = env->ctx;
	struct store_conn *c = NULL;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		r = print_roots(c, x->json, e);
	store_close(c);
	return r;
}

static const struct cmd_opt roots_options[] = {
	STORE_OPTIONS_BASIC(struct roots_ctx, store),
	{ "json", 0, CMD_FLAG, offsetof(struct roots_ctx, json), NULL, "as JSON" },
};

const struct cmd store_cmd_roots = {
	.name = "roots",
	.summary = "list the links that protect store items",
	.examples = "cairn store roots",
	CMD_OPTS(roots_options),
	.context_size = sizeof(struct roots_ctx),
	.run = run_roots,
};

struct add_root_ctx {
	struct store_opts store;
};

static int run_add_root(struct cmd_env *env, struct err *e)
{
	struct add_root_ctx *x = env->ctx;
	struct store_conn *c = NULL;
	auto_arena struct arena a = ARENA_INIT;
	bool valid = false;
	char *item;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		r = store_operand(c, &a, env->args[1], true, &item, e);
	if (r == 0)
		r = store_is_valid(c, item, &valid, e);
	if (r == 0 && !valid)
		r = err_set(e, -ERR_NOTVALID, "path '%s' is not valid", item);
	if (r == 0)
		r = store_add_root(c, env->args[0], item, e);
	store_close(c);
	return r;
}

static const struct cmd_opt add_root_options[] = {
	STORE_OPTIONS_BASIC(struct add_root_ctx, store),
};

const struct cmd store_cmd_add_root = {
	.name = "add-root",
	.synopsis = "LINK PATH",
	.summary = "make LINK point to an item and protect it from collection",
	.examples = "cairn store add-root kept $(cairn build zlib)",
	.help = "The protection ends when LINK is removed.",
	CMD_OPTS(add_root_options),
	.context_size = sizeof(struct add_root_ctx),
	.min_args = 2,
	.max_args = 2,
	.run = run_add_root,
};
