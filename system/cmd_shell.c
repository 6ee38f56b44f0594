/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn shell: packages at hand for one command, and nothing installed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/store.h"
#include "system/container.h"
#include "system/packages.h"
#include "system/system.h"

#define EXIT_NOT_FOUND 127
#define EXIT_NOT_RUN   126
/* PATH where no package has programs: without it, or with an empty one, the machine's are found. */
#define NO_PROGRAMS "/var/empty"

struct ctx {
	struct store_opts store;
	struct sys_eval_opts eval;
	struct vec development;
	const char *file;
	bool pure, container, network;
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- Packages -------------------------------------------------------------------------------- */

struct shell {
	struct arena arena;
	struct vec evals;   /* struct sys_eval, owned */
	struct vec entries; /* struct profile_entry */
	struct vec items;   /* paths of the entries */
	struct vec closure; /* for a container */
	const char *root;
};

#define SHELL_INIT                                                                                 \
	{                                                                                          \
		ARENA_INIT, VEC_INIT, VEC_INIT, VEC_INIT, VEC_INIT, ""                             \
	}

static void shell_done(struct shell *s)
{
	for (size_t i = 0; i < s->evals.n; i++)
		sys_eval_free(s->evals.v[i]);
	vec_done(&s->evals);
	vec_done(&s->entries);
	vec_done(&s->items);
	vec_done(&s->closure);
	arena_done(&s->arena);
}

static int evaluate(struct shell *s, const struct ctx *c, const char *action,
		    const struct vec *names, const char *file, struct err *e)
{
	struct packages_request q = { &c->eval, action, names, file };
	struct sys_eval *ev = NULL;
	int r;

	if (!names->n && !file)
		return 0;
	r = packages_evaluate(&q, &ev, e);
	if (r < 0)
		return r;
	vec_add(&s->evals, ev);
	return s->evals.err ? no_memory(e) : packages_entries(ev, &s->arena, &s->entries, e);
}

static int build(struct shell *s, const struct ctx *c, struct err *e)
{
	struct store_conn *conn = NULL;
	int r = store_open(&c->store, &conn, e);

	for (size_t i = 0; r == 0 && i < s->evals.n; i++)
		r = sys_eval_build(s->evals.v[i], conn, NULL, e);
	for (size_t i = 0; i < s->entries.n; i++)
		vec_add(&s->items,
			(void *)(uintptr_t)((struct profile_entry *)s->entries.v[i])->path);
	if (r == 0 && c->container)
		r = container_closure(conn, &s->arena, &s->items, &s->closure, e);
	if (r == 0) {
		s->root = arena_str(&s->arena, store_conn_root(conn));
		r = !s->root || s->items.err ? no_memory(e) : 0;
	}
	store_close(conn); /* from now on the environment of the command keeps them */
	return r;
}

/* ---- Environment ----------------------------------------------------------------------------- */

/* Variables, and the directories of items that are listed in them. */
static const char *const searched[][2] = {
	{ "PATH", "bin" },
	{ "PATH", "sbin" },
	{ "C_INCLUDE_PATH", "include" },
	{ "CPLUS_INCLUDE_PATH", "include" },
	{ "LIBRARY_PATH", "lib" },
	{ "PKG_CONFIG_PATH", "lib/pkgconfig" },
	{ "PKG_CONFIG_PATH", "share/pkgconfig" },
	{ "MANPATH", "share/man" },
};

static int put_in_front(const struct shell *s, const char *name, const char *dir, struct err *e)
{
	auto_str struct str value = STR_INIT;
	const char *old = getenv(name);

	for (size_t i = 0; i < s->items.n; i++) {
		auto_arena struct arena a = ARENA_INIT;
		const char *item = s->items.v[i];
		char *path = arena_fmt(&a, "%s%s/%s", s->root, item, dir);

		if (path && access(path, F_OK) == 0)
			str_addf(&value, "%s%s/%s", value.len ? ":" : "", item, dir);
	}
	if (!value.len)
		return str_err(&value) ? no_memory(e) : 0;
	if (old && *old)
		str_addf(&value, ":%s", old);
	return str_err(&value) || setenv(name, value.buf, 1) < 0 ? no_memory(e) : 0;
}

/* All but a few variables; -p of others have the same ones. */
static int keep_little(struct arena *a, struct err *e)
{
	static const char *const names[] = { "HOME", "USER", "LOGNAME", "TERM", "TZ", "SHELL" };
	const char *values[ARRAY_LEN(names)];

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		values[i] = getenv(names[i]) ? arena_str(a, getenv(names[i])) : NULL;
	if (arena_err(a) || clearenv() < 0)
		return no_memory(e);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (values[i] && setenv(names[i], values[i], 1) < 0)
			return no_memory(e);
	return 0;
}

static int set_environment(struct shell *s, const struct ctx *c, struct err *e)
{
	auto_str struct str all = STR_INIT;
	int r = c->pure || c->container ? keep_little(&s->arena, e) : 0;

	if (r == 0 && c->pure && setenv("PATH", "", 1) < 0)
		r = no_memory(e);
	for (size_t i = ARRAY_LEN(searched); r == 0 && i-- > 0;)
		r = put_in_front(s, searched[i][0], searched[i][1], e);
	if (r == 0 && c->pure && !*getenv("PATH") && setenv("PATH", NO_PROGRAMS, 1) < 0)
		r = no_memory(e);
	for (size_t i = 0; i < s->items.n; i++)
		str_addf(&all, "%s%s", i ? ":" : "", (const char *)s->items.v[i]);
	if (r == 0 && (str_err(&all) || setenv("CAIRN_ENVIRONMENT", all.buf, 1) < 0))
		r = no_memory(e);
	return r;
}

/* ---- The command ----------------------------------------------------------------------------- */

/* "bin/NAME" of the first package that has it, as the command will see it; NULL: none has. */
static const char *find_file(struct shell *s, const char *dir, const char *name)
{
	for (size_t i = 0; i < s->items.n; i++) {
		const char *item = s->items.v[i];
		char *path = arena_fmt(&s->arena, "%s%s/%s/%s", s->root, item, dir, name);

		if (path && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return arena_fmt(&s->arena, "%s/%s/%s", item, dir, name);
	}
	return NULL;
}

/* Is the command one of the packages', where it can be no other? */
static bool is_there(struct shell *s, const struct ctx *c, const char *name)
{
	return !c->pure || c->container || strchr(name, '/') || find_file(s, "bin", name) ||
	       find_file(s, "sbin", name);
}

static int run_container(struct shell *s, const struct ctx *c, char *const *argv, struct err *e)
{
	char cwd[PATH_MAX];
	struct container x = { .root = s->root,
			       .items = &s->closure,
			       .share = getcwd(cwd, sizeof(cwd)) && strcmp(cwd, "/") != 0 ? cwd
											  : NULL,
			       .shell = find_file(s, "bin", "sh"), /* what /bin/sh is */
			       .network = c->network,
			       .argv = argv };
	int status = 0;
	int r = container_run(&x, &status, e);

	return r < 0 ? r : cmd_exit_with(status);
}

/* In a private root "cairn exec" shows the store at its place. */
static int run_command(const struct shell *s, const char *prog, char *const *argv, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str self = STR_INIT;
	auto_vec struct vec words = VEC_INIT;
	int why;

	if (s->root[0]) {
		int r = file_readlink(AT_FDCWD, "/proc/self/exe", &self, e);

		if (r < 0)
			return r;
		vec_add(&words, self.buf);
		vec_add(&words, (void *)(uintptr_t) "exec");
		vec_add(&words, arena_fmt(&a, "--root=%s", s->root));
		vec_add(&words, (void *)(uintptr_t) "--");
	}
	for (size_t i = 0; argv[i]; i++)
		vec_add(&words, argv[i]);
	vec_add(&words, NULL);
	if (words.err || arena_err(&a))
		return no_memory(e);
	execvp(words.v[0], (char *const *)words.v);
	why = errno;
	fprintf(stderr, "%s: %s: %s\n", prog, argv[0], strerror(why));
	return cmd_exit_with(why == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

static int prepare(struct shell *s, struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_vec struct vec names = VEC_INIT;
	int r;

	c->eval.store_dir = c->store.store_dir;
	for (size_t i = 0; i < env->before; i++)
		vec_add(&names, env->args[i]);
	if (names.err)
		return no_memory(e);
	if (!names.n && !c->file && !c->development.n)
		return cmd_usage(e, "name packages, or give -D PACKAGE or -m FILE");
	r = evaluate(s, c, "targets", &names, c->file, e);
	if (r == 0)
		r = evaluate(s, c, "development", &c->development, NULL, e);
	if (r == 0)
		r = build(s, c, e);
	return r < 0 ? r : set_environment(s, c, e);
}

static int run(struct cmd_env *env, struct err *e)
{
	const struct ctx *c = env->ctx;
	const char *sh = getenv("SHELL");
	char *own[] = { (char *)(uintptr_t)(sh && *sh && !c->container ? sh : "sh"), NULL };
	char *const *argv = env->before < env->nargs ? env->args + env->before : own;
	struct shell s = SHELL_INIT;
	int r = prepare(&s, env, e);

	if (r == 0 && !is_there(&s, c, argv[0])) {
		fprintf(stderr, "%s: no package of the environment has a program '%s' [%s]\n",
			env->prog, argv[0],
			argv == own ? "name one that has a shell, such as busybox"
			: c->development.n
				? "-D gives a package's inputs, not the compiler of its build"
				: "name one that has it");
		r = cmd_exit_with(EXIT_NOT_FOUND);
	} else if (r == 0)
		r = c->container ? run_container(&s, c, argv, e)
				 : run_command(&s, env->prog, argv, e);
	shell_done(&s);
	return r;
}

static const struct cmd_opt options[] = {
	{ "development", 'D', CMD_LIST, offsetof(struct ctx, development), "PACKAGE",
	  "what PACKAGE is built with, in place of itself" },
	{ "manifest", 'm', CMD_STR, offsetof(struct ctx, file), "FILE",
	  "the packages that the Lua file FILE returns" },
	{ "pure", 0, CMD_FLAG, offsetof(struct ctx, pure), NULL,
	  "the environment's programs alone; no variables but HOME, USER, LOGNAME, SHELL, TERM, "
	  "TZ" },
	{ "container", 'C', CMD_FLAG, offsetof(struct ctx, container), NULL,
	  "show nothing but the packages, what they need, and this directory" },
	{ "network", 'N', CMD_FLAG, offsetof(struct ctx, network), NULL,
	  "in a container: the network of this machine" },
	SYS_EVAL_OPTIONS(struct ctx, eval),
	STORE_OPTIONS_BASIC(struct ctx, store),
	STORE_OPTIONS_BUILD(struct ctx, store),
};

static void no_operands(struct str *out)
{
	(void)out; /* names would need an evaluation */
}

const struct cmd sys_cmd_shell = {
	.name = "shell",
	.synopsis = "[PACKAGE[:OUTPUT]...] [-- COMMAND [ARG...]]",
	.summary = "run a shell, or a command, that has packages at hand",
	.examples =
		"cairn shell curl git                   a shell that has them\n"
		"cairn shell curl -- curl --version     a command\n"
		"cairn shell -C -D zlib                 what zlib is built with, and nothing else",
	.help = "Nothing is installed. Their directories come first in PATH, and in what "
		"compilers\n"
		"and pkg-config search. The exit status is the command's; 127 when it is not "
		"found,\n"
		"126 when it cannot be run.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.operands = no_operands,
	.run = run,
};
