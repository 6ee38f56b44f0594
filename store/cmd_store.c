/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn store: adding, checking, and looking into the store. */
#include "store/cmd_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/text.h"
#include "store/build/buildlog.h"
#include "store/limits.h"
#include "store/format/nar.h"
#include "store/remote/found.h"

#define LIMIT_LOG (256U << 20)

/* ---- Operands ---------------------------------------------------------------------------------
 */

/* The logical path for a path below the store of either kind; NULL when it is not below. */
static const char *as_logical(struct store_conn *c, const char *path)
{
	const char *root = store_conn_root(c);
	size_t n = strlen(root);

	if (n && !strncmp(path, root, n) && path[n] == '/')
		path += n;
	return path_is_below(path, store_conn_dir(c)) ? path : NULL;
}

int store_operand(struct store_conn *c, struct arena *a, const char *text, bool item, char **ret,
		  struct err *e)
{
	auto_str struct str target = STR_INIT;
	const char *path = as_logical(c, text);
	struct slice base;

	if (!path && file_readlink(AT_FDCWD, text, &target, NULL) == 0)
		path = as_logical(c, target.buf);
	base = path ? store_path_item(store_conn_dir(c), slice_of(path))
		    : (struct slice){ NULL, 0 };
	if (!base.n || !path_is_clean(path))
		return err_set(e, -ERR_INVALID, "'%s' is not in the store %s", text,
			       store_conn_dir(c));
	*ret = item ? arena_slice(a, base) : arena_str(a, path);
	return *ret ? 0 : err_num(e, -ENOMEM, "%s", text);
}

int store_operands(struct store_conn *c, struct arena *a, char *const *args, size_t n,
		   struct vec *ret, struct err *e)
{
	char *path;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = store_operand(c, a, args[i], true, &path, e);
		if (r == 0)
			vec_add(ret, path);
	}
	return r == 0 && ret->err < 0 ? err_num(e, ret->err, "operands") : r;
}

void store_print_path(struct store_conn *c, const char *path, bool physical)
{
	printf("%s%s\n", physical ? store_conn_root(c) : "", path);
}

void store_use_family(struct store_opts *o, enum dialect d)
{
	if (!o->store_dir)
		o->store_dir = dialect_facts(d)->store_dir;
	if (!o->state_dir)
		o->state_dir = dialect_facts(d)->state_dir;
	if (d == DIALECT_NIX && !o->root && !o->socket && !getenv("CAIRN_ROOT"))
		o->root = "/";
}

int store_finish_output(struct err *e)
{
	if (fflush(stdout) == EOF || ferror(stdout))
		return err_sys(e, "write standard output");
	return 0;
}

/* ---- add --------------------------------------------------------------------------------------
 */

struct add_ctx {
	struct store_opts store;
	const char *name, *hash, *link;
	struct vec references;
	bool flat, text, physical;
	/* while running */
	struct arena arena;
	struct vec added; /* paths, in arena */
};

static const struct cmd_opt add_options[] = {
	STORE_OPTIONS_BASIC(struct add_ctx, store),
	{ "name", 'n', CMD_STR, offsetof(struct add_ctx, name), "NAME",
	  "name in the store (default: the last part of the path)" },
	{ "flat", 0, CMD_FLAG, offsetof(struct add_ctx, flat), NULL,
	  "address a file by its contents, not as an archive" },
	{ "hash", 0, CMD_STR, offsetof(struct add_ctx, hash), "ALGO",
	  "md5, sha1, sha256 (the default) or sha512" },
	{ "text", 0, CMD_FLAG, offsetof(struct add_ctx, text), NULL,
	  "add a file as a text item; derivations (.drv) are such items" },
	{ "reference", 0, CMD_LIST, offsetof(struct add_ctx, references), "PATH",
	  "store path that a text item refers to" },
	{ "link", 'l', CMD_STR, offsetof(struct add_ctx, link), "LINK",
	  "make LINK point to the item and protect it from collection" },
	{ "physical", 0, CMD_FLAG, offsetof(struct add_ctx, physical), NULL,
	  "print where the item lies on disk" },
};

static int add_text(struct add_ctx *x, struct store_conn *c, struct arena *a, const char *path,
		    const char *name, char **ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	auto_vec struct vec refs = VEC_INIT;
	int r = file_read(AT_FDCWD, path, &text, LIMIT_TEXT_ITEM, e);

	if (r == 0)
		r = store_operands(c, a, (char *const *)x->references.v, x->references.n, &refs, e);
	if (r < 0)
		return r;
	return store_add_text(c, a, name, str_slice(&text), (const char *const *)refs.v, refs.n,
			      ret, e);
}

static int add_one(struct add_ctx *x, struct store_conn *c, const char *path, enum digest_algo algo,
		   struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *clean = arena_str(&a, path), *item = NULL;
	const char *name;
	int r;

	if (!clean)
		return err_num(e, -ENOMEM, "add %s", path);
	for (size_t n = strlen(clean); n > 1 && clean[n - 1] == '/'; n--)
		clean[n - 1] = 0;
	name = x->name ? x->name : path_base(clean);
	r = store_name_check(slice_of(name), e);
	if (r < 0)
		return err_hint(e, r, "give another with --name");
	if (x->text)
		r = add_text(x, c, &a, clean, name, &item, e);
	else
		r = store_add_tree(c, &a, name, AT_FDCWD, clean, !x->flat, algo, NULL, NULL, &item,
				   e);
	if (r == 0 && x->link)
		r = store_add_root(c, x->link, item, e);
	if (r < 0)
		return r;
	vec_add(&x->added, arena_str(&x->arena, item));
	return arena_err(&x->arena) < 0 || x->added.err < 0 ? err_num(e, -ENOMEM, "add %s", path)
							    : 0;
}

/* Those before one that failed are told, too; none is told that is not there. */
static int tell_added(struct add_ctx *x, struct store_conn *c, struct err *e)
{
	int r = store_confirm(c, (const char *const *)x->added.v, x->added.n, e);

	for (size_t i = 0; r == 0 && i < x->added.n; i++)
		store_print_path(c, x->added.v[i], x->physical);
	return r == 0 ? store_finish_output(e) : r;
}

static int run_add(struct cmd_env *env, struct err *e)
{
	struct add_ctx *x = env->ctx;
	struct store_conn *c = NULL;
	enum digest_algo algo = DIGEST_SHA256;
	int r;

	if (x->hash && digest_algo_parse(slice_of(x->hash), &algo) < 0)
		return cmd_usage(e, "'%s' is no hash algorithm [md5 sha1 sha256 sha512]", x->hash);
	if ((x->name || x->link) && env->nargs > 1)
		return cmd_usage(e, "--name and --link go with one path only");
	if (x->text && (x->flat || x->hash))
		return cmd_usage(e, "--text goes with neither --flat nor --hash");
	if (!x->text && x->references.n)
		return cmd_usage(e, "--reference goes with --text only");
	r = store_open(&x->store, &c, e);
	for (size_t i = 0; r == 0 && i < env->nargs; i++)
		r = add_one(x, c, env->args[i], algo, e);
	if (x->added.n) {
		struct err inner = ERR_INIT;
		int told = tell_added(x, c, &inner);

		if (r == 0 && told < 0)
			r = err_set(e, told, "%s", inner.msg);
	}
	store_close(c);
	vec_done(&x->added);
	arena_done(&x->arena);
	return r;
}

static const struct cmd cmd_add = {
	.name = "add",
	.synopsis = "PATH...",
	.summary = "copy files and directories into the store",
	.examples = "cairn store add -n sources project/\n"
		    "cairn store add --flat --link kept file",
	.help = "Each item's store path is printed on standard output.",
	CMD_OPTS(add_options),
	.context_size = sizeof(struct add_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run_add,
};

/* ---- verify -----------------------------------------------------------------------------------
 */

struct verify_ctx {
	struct store_opts store;
	bool quick, repair, json;
};

struct sorter {
	struct found found;
	bool quiet;
};

static void sort_line(void *arg, struct slice line)
{
	struct sorter *s = arg;
	auto_str struct str safe = STR_INIT;

	if (found_line(&s->found, line) || s->quiet)
		return;
	text_safe(&safe, line);
	fprintf(stderr, "%s\n", safe.buf);
}

static int print_verified(const struct verify_ctx *x, const struct found *found, uint64_t remaining,
			  struct err *e)
{
	auto_str struct str out = STR_INIT;
	int r;

	str_addf(&out, "{\"contents\":%s,\"repair\":%s,\"remaining\":%llu,",
		 x->quick ? "false" : "true", x->repair ? "true" : "false",
		 (unsigned long long)remaining);
	r = found_json(found, &out, e);
	if (r < 0)
		return r;
	printf("%s}\n", out.buf);
	return store_finish_output(e);
}

static int run_verify(struct cmd_env *env, struct err *e)
{
	struct verify_ctx *x = env->ctx;
	struct sorter sorter = { FOUND_INIT, x->store.quiet };
	const struct store_found found = { sort_line, &sorter };
	struct store_conn *c = NULL;
	uint64_t errors = 0;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		r = store_verify(c, !x->quick, x->repair, x->json ? &found : NULL, &errors, e);
	store_close(c);
	if (r == 0 && x->json)
		r = print_verified(x, &sorter.found, errors, e);
	found_done(&sorter.found);
	if (r == 0 && errors)
		return err_set(e, -ERR_HASH, "%llu fault%s found in the store",
			       (unsigned long long)errors, errors == 1 ? "" : "s");
	return r;
}

static const struct cmd_opt verify_options[] = {
	STORE_OPTIONS_BASIC(struct verify_ctx, store),
	{ "json", 0, CMD_FLAG, offsetof(struct verify_ctx, json), NULL, "what was found as JSON" },
	{ "quick", 0, CMD_FLAG, offsetof(struct verify_ctx, quick), NULL,
	  "only look whether everything is there, do not read it" },
	{ "repair", 0, CMD_FLAG, offsetof(struct verify_ctx, repair), NULL,
	  "get again what is damaged, forget what is gone and not needed" },
	{ "no-substitutes", 0, CMD_FLAG, offsetof(struct verify_ctx, store.no_substitutes), NULL,
	  "repair by builds alone" },
	{ "substitute-urls", 0, CMD_STR, offsetof(struct verify_ctx, store.substitute_urls), "URLS",
	  "caches to repair from, blank-separated" },
};

static const struct cmd cmd_verify = {
	.name = "verify",
	.summary = "check the store against its database",
	.examples = "cairn store verify\n"
		    "cairn store verify --repair    what is damaged is fetched or built again",
	.help = "Reads every item and compares its hash. Says nothing when all is well; exit\n"
		"status 65 when a fault remains. Nothing is changed unless --repair is given:\n"
		"then what a cache has is fetched, and what a derivation made is made again; it\n"
		"is put in place if it has the hash it should have.",
	CMD_OPTS(verify_options),
	.context_size = sizeof(struct verify_ctx),
	.run = run_verify,
};

/* ---- log --------------------------------------------------------------------------------------
 */

struct log_ctx {
	struct store_opts store;
	bool path;
};

static int run_log(struct cmd_env *env, struct err *e)
{
	struct log_ctx *x = env->ctx;
	struct store_conn *c = NULL;
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	const char *file = NULL;
	char *item = NULL;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		r = store_operand(c, &a, env->args[0], true, &item, e);
	if (r == 0)
		r = buildlog_find(c, &a, store_conn_physical(c, &a, store_conn_log(c)), item, &file,
				  e);
	store_close(c);
	if (r == 0 && x->path)
		puts(file);
	else if (r == 0)
		r = buildlog_read(file, &text, LIMIT_LOG, e);
	if (r == 0)
		(void)fwrite(text.buf, 1, text.len, stdout); /* store_finish_output looks */
	return r < 0 ? r : store_finish_output(e);
}

static const struct cmd_opt log_options[] = {
	STORE_OPTIONS_BASIC(struct log_ctx, store),
	{ "path", 0, CMD_FLAG, offsetof(struct log_ctx, path), NULL,
	  "print where the log lies on disk" },
};

static const struct cmd cmd_log = {
	.name = "log",
	.synopsis = "PATH",
	.summary = "print the log of the build of a derivation or an output",
	.examples = "cairn store log $(cairn build zlib) | less",
	CMD_OPTS(log_options),
	.context_size = sizeof(struct log_ctx),
	.min_args = 1,
	.max_args = 1,
	.run = run_log,
};

/* ---- dump, restore ----------------------------------------------------------------------------
 */

struct dump_ctx {
	struct store_opts store;
};

/* The file to dump: the place on disk of a store path, anything else as it is. */
static int dump_target(struct dump_ctx *x, struct arena *a, const char *arg, const char **ret,
		       struct err *e)
{
	const char *dir = x->store.store_dir ? x->store.store_dir : STORE_DIR_DEFAULT;
	struct store_conn *c = NULL;
	char *path;
	int r;

	*ret = arg;
	if (!path_is_below(arg, dir))
		return 0;
	r = store_open(&x->store, &c, e);
	if (r == 0)
		r = store_operand(c, a, arg, false, &path, e);
	if (r == 0) {
		*ret = store_conn_physical(c, a, path);
		if (!*ret)
			r = err_num(e, -ENOMEM, "%s", arg);
	}
	store_close(c);
	return r;
}

static int run_dump(struct cmd_env *env, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct nar_sink *sink = nar_sink_fd(&a, STDOUT_FILENO);
	const char *path;
	int r = dump_target(env->ctx, &a, env->args[0], &path, e);

	if (r < 0)
		return r;
	if (!sink)
		return err_num(e, -ENOMEM, "archive");
	if (isatty(STDOUT_FILENO))
		return cmd_usage(e, "archives are not for terminals: direct the output to a file");
	return nar_dump(AT_FDCWD, path, NULL, NULL, sink, e);
}

static const struct cmd_opt dump_options[] = {
	STORE_OPTIONS_BASIC(struct dump_ctx, store),
};

static const struct cmd cmd_dump = {
	.name = "dump",
	.synopsis = "PATH",
	.summary = "write a file tree as an archive (NAR) to standard output",
	.examples = "cairn store dump $(cairn build zlib) | sha256sum",
	CMD_OPTS(dump_options),
	.context_size = sizeof(struct dump_ctx),
	.min_args = 1,
	.max_args = 1,
	.run = run_dump,
};

int store_archive_end(struct nar_source *in, struct err *e)
{
	bool end;
	int r = nar_source_fd_at_end(in, &end, e);

	if (r == 0 && !end)
		r = err_set(e, -ERR_SYNTAX, "bad archive: something follows its end");
	return r;
}

int store_restore(const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct nar_source *in = nar_source_fd(&a, STDIN_FILENO);
	struct stat st;
	int r;

	if (!in)
		return err_num(e, -ENOMEM, "archive");
	if (lstat(path, &st) == 0)
		return err_set(e, -EEXIST, "'%s' exists already", path);
	r = nar_restore(in, AT_FDCWD, path, e);
	if (r < 0)
		return r;
	r = store_archive_end(in, e);
	if (r < 0)
		(void)file_delete_tree(AT_FDCWD, path, NULL, NULL); /* the first error counts */
	return r;
}

static int run_restore(struct cmd_env *env, struct err *e)
{
	return store_restore(env->args[0], e);
}

static const struct cmd cmd_restore = {
	.name = "restore",
	.synopsis = "PATH",
	.summary = "unpack an archive (NAR) from standard input as PATH",
	.examples = "cairn store dump tree/ | cairn store restore copy",
	.min_args = 1,
	.max_args = 1,
	.run = run_restore,
};

/* ---- The group --------------------------------------------------------------------------------
 */

/* clang-format off */
static const struct cmd *const subs[] = {
	&cmd_add,
	&store_cmd_add_root,
	&store_cmd_delete,
	&cmd_dump,
	&store_cmd_failures,
	&store_cmd_gc,
	&cmd_log,
	&store_cmd_optimise,
	&store_cmd_protect,
	&store_cmd_query,
	&store_cmd_realise,
	&cmd_restore,
	&store_cmd_roots,
	&store_cmd_size,
	&cmd_verify,
	NULL,
};
/* clang-format on */

const struct cmd store_cmd_store = {
	.name = "store",
	.summary = "look into the store and keep it tidy",
	.subs = subs,
};
