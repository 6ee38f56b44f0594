/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn build: packages, files and expressions to store paths. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "lib/path.h"
#include "lib/str.h"
#include "lib/text.h"
#include "lib/vec.h"
#include "store/store.h"
#include "system/eval.h"

struct ctx {
	struct store_opts store;
	struct sys_eval_opts eval;
	struct vec files, expressions;
	const char *link;
	bool dry_run, derivation, physical, json, list;
};

/* What is built: one element per operand, -f and -e. */
struct job {
	struct vec evals; /* struct sys_eval, owned */
	struct vec rows;  /* struct sys_eval_result, borrowed from evals; targets only */
	struct arena arena;
};

static void job_done(struct job *j)
{
	for (size_t i = 0; i < j->evals.n; i++)
		sys_eval_free(j->evals.v[i]);
	vec_done(&j->evals);
	vec_done(&j->rows);
	arena_done(&j->arena);
}

static int evaluate(struct ctx *c, struct job *j, enum sys_eval_kind kind, const char *text,
		    struct err *e)
{
	struct sys_eval_request req = { .kind = kind, .text = text };
	struct sys_eval *ev = NULL;
	size_t before = j->rows.n;
	int r = sys_eval_run(&c->eval, &req, &ev, e);

	if (r < 0)
		return r;
	vec_add(&j->evals, ev);
	for (size_t i = 0; i < sys_eval_count(ev); i++) {
		const struct sys_eval_result *res = sys_eval_at(ev, i);
		if (res->target)
			vec_add(&j->rows, (void *)res);
	}
	if (j->evals.err || j->rows.err)
		return err_set(e, -ENOMEM, "out of memory");
	if (j->rows.n == before)
		return err_set(e, -ERR_EVAL, "%s: the result holds nothing that can be built",
			       text);
	return 0;
}

static int evaluate_all(struct ctx *c, struct cmd_env *env, struct job *j, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < env->nargs && r == 0; i++)
		r = evaluate(c, j, SYS_EVAL_NAME, env->args[i], e);
	for (size_t i = 0; i < c->files.n && r == 0; i++)
		r = evaluate(c, j, SYS_EVAL_FILE, c->files.v[i], e);
	for (size_t i = 0; i < c->expressions.n && r == 0; i++)
		r = evaluate(c, j, SYS_EVAL_EXPR, c->expressions.v[i], e);
	return r;
}

/* ---- Printing ---------------------------------------------------------------------------------
 */

static const char *shown(const struct ctx *c, struct job *j, struct store_conn *conn,
			 const char *path)
{
	return c->physical ? store_conn_physical(conn, &j->arena, path) : path;
}

static void json_field(struct str *out, const char *name, const char *value)
{
	str_addf(out, "%s\"%s\":", out->buf[out->len - 1] == '{' ? "" : ",", name);
	if (value)
		text_json(out, slice_of(value));
	else
		str_add(out, "null");
}

static void print_json(const struct ctx *c, struct job *j, struct store_conn *conn)
{
	auto_str struct str out = STR_INIT;

	for (size_t i = 0; i < j->rows.n; i++) {
		const struct sys_eval_result *res = j->rows.v[i];
		str_add(&out, i ? ",\n{" : "[{");
		json_field(&out, "key", res->key);
		json_field(&out, "path", shown(c, j, conn, res->value));
		json_field(&out, "drv", res->drv ? shown(c, j, conn, res->drv) : NULL);
		json_field(&out, "output", res->output);
		str_addc(&out, '}');
	}
	printf("%s]\n", out.buf);
}

static void print_paths(const struct ctx *c, struct job *j, struct store_conn *conn)
{
	for (size_t i = 0; i < j->rows.n; i++) {
		const struct sys_eval_result *res = j->rows.v[i];
		const char *path = c->derivation && res->drv ? res->drv : res->value;
		printf("%s\n", shown(c, j, conn, path));
	}
}

static int finish_output(struct err *e)
{
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static int print(const struct ctx *c, struct job *j, struct store_conn *conn, struct err *e)
{
	if (c->json)
		print_json(c, j, conn);
	else
		print_paths(c, j, conn);
	return finish_output(e);
}

/* What no build waited for must have become valid before it is told. */
static int confirm(const struct ctx *c, struct job *j, struct store_conn *conn, struct err *e)
{
	auto_vec struct vec items = VEC_INIT;

	for (size_t i = 0; i < j->rows.n; i++) {
		const struct sys_eval_result *res = j->rows.v[i];
		const char *path = c->derivation && res->drv ? res->drv : res->value;
		struct slice item = store_path_item(store_conn_dir(conn), slice_of(path));
		if (item.n)
			vec_add(&items, arena_slice(&j->arena, item));
	}
	if (items.err || arena_err(&j->arena))
		return err_set(e, -ENOMEM, "out of memory");
	return store_confirm(conn, (const char *const *)items.v, items.n, e);
}

/* ---- Doing ------------------------------------------------------------------------------------
 */

static int add_roots(const struct ctx *c, struct job *j, struct store_conn *conn, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < j->rows.n && r == 0; i++) {
		const struct sys_eval_result *res = j->rows.v[i];
		const char *link = c->link;
		if (i > 0)
			link = arena_fmt(&j->arena, "%s-%zu", c->link, i + 1);
		if (!link)
			return err_set(e, -ENOMEM, "out of memory");
		r = store_add_root(conn, link, c->derivation && res->drv ? res->drv : res->value,
				   e);
	}
	return r;
}

static int dry_run(struct job *j, struct store_conn *conn, struct err *e)
{
	auto_vec struct vec missing = VEC_INIT;
	int r = 0;

	for (size_t i = 0; i < j->evals.n && r == 0; i++)
		r = sys_eval_missing(j->evals.v[i], conn, &missing, e);
	if (r < 0)
		return r;
	vec_sort_str(&missing);
	vec_uniq_str(&missing);
	fprintf(stderr, "%zu derivation%s would be built\n", missing.n, missing.n == 1 ? "" : "s");
	for (size_t i = 0; i < missing.n; i++)
		printf("%s\n", (const char *)missing.v[i]);
	return finish_output(e);
}

static int build(struct ctx *c, struct job *j, struct store_conn *conn, struct err *e)
{
	auto_vec struct vec things = VEC_INIT;
	int r = 0;

	for (size_t i = 0; i < j->evals.n && r == 0; i++)
		r = sys_eval_add(j->evals.v[i], conn, e);
	for (size_t i = 0; i < j->rows.n && r == 0; i++) {
		const struct sys_eval_result *res = j->rows.v[i];
		if (res->drv)
			vec_add(&things, arena_fmt(&j->arena, "%s!%s", res->drv, res->output));
	}
	if (r == 0 && (things.err || arena_err(&j->arena)))
		r = err_set(e, -ENOMEM, "out of memory");
	if (r == 0 && things.n && !c->derivation)
		r = store_build(conn, (const char *const *)things.v, things.n, e);
	else if (r == 0)
		r = confirm(c, j, conn, e);
	if (r == 0 && c->link)
		r = add_roots(c, j, conn, e);
	return r < 0 ? r : print(c, j, conn, e);
}

static int list_packages(struct ctx *c, struct err *e)
{
	struct sys_eval_request req = {
		.kind = SYS_EVAL_EXPR,
		.text = "local t = {} for name in pairs(require 'packages.index') do "
			"t[#t + 1] = name end return t",
	};
	struct sys_eval *ev;
	int r = sys_eval_run(&c->eval, &req, &ev, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sys_eval_count(ev); i++)
		printf("%s\n", sys_eval_at(ev, i)->value);
	sys_eval_free(ev);
	return finish_output(e);
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	struct job job = { VEC_INIT, VEC_INIT, ARENA_INIT };
	struct store_conn *conn = NULL;
	int r;

	c->eval.store_dir = c->store.store_dir;
	if (c->list)
		return list_packages(c, e);
	if (env->nargs + c->files.n + c->expressions.n == 0)
		return cmd_usage(e, "nothing to build: give a package, -f FILE or -e EXPRESSION");
	if (c->store.check && c->store.repair)
		return cmd_usage(e, "--check and --repair do not go together");
	r = evaluate_all(c, env, &job, e);
	if (r == 0)
		r = store_open(&c->store, &conn, e);
	if (r == 0)
		r = c->dry_run ? dry_run(&job, conn, e) : build(c, &job, conn, e);
	store_close(conn);
	job_done(&job);
	return r;
}

static const struct cmd_opt options[] = {
	{ "file", 'f', CMD_LIST, offsetof(struct ctx, files), "FILE",
	  "build what the Lua file FILE returns" },
	{ "expression", 'e', CMD_LIST, offsetof(struct ctx, expressions), "EXPR",
	  "build the value of a Lua expression" },
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct ctx, dry_run), NULL,
	  "print the derivations that would be built, build nothing" },
	{ "derivation", 'd', CMD_FLAG, offsetof(struct ctx, derivation), NULL,
	  "print the .drv paths, build nothing" },
	{ "check", 0, CMD_FLAG, offsetof(struct ctx, store.check), NULL,
	  "build again what is there, and compare" },
	{ "repair", 0, CMD_FLAG, offsetof(struct ctx, store.repair), NULL,
	  "build again what is damaged, of the results and all they refer to" },
	{ "root-link", 'r', CMD_STR, offsetof(struct ctx, link), "LINK",
	  "make LINK a link to the result that keeps it from being collected" },
	{ "physical", 0, CMD_FLAG, offsetof(struct ctx, physical), NULL,
	  "print paths with the private root in front" },
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, json), NULL, "print a JSON array" },
	{ "list", 'l', CMD_FLAG, offsetof(struct ctx, list), NULL,
	  "print the names of all packages" },
	SYS_EVAL_OPTIONS(struct ctx, eval),
	STORE_OPTIONS_BASIC(struct ctx, store),
	STORE_OPTIONS_BUILD(struct ctx, store),
};

const struct cmd sys_cmd_build = {
	.name = "build",
	.synopsis = "[PACKAGE[:OUTPUT]...]",
	.summary = "build packages and print their store paths",
	.examples = "cairn build zlib                   the package of that name\n"
		    "cairn build -f hello.lua -r result what a file returns, kept by the link "
		    "'result'\n"
		    "cairn build --check busybox        once more; the results must be the same",
	.help = "Packages are named in packages/index.lua. Standard output has the store paths, "
		"one\n"
		"a line and in the order asked for, and nothing else.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.run = run,
};
