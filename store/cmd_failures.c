/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn store failures: what a daemon with --cache-failures does not try again. */
#include <stdio.h>

#include "store/cmd_store.h"
#include "store/store.h"

struct failures_ctx {
	struct store_opts store;
	bool clear;
};

static int print_failures(struct store_conn *c, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT;
	int r = store_failures(c, &a, &paths, e);
	for (size_t i = 0; !r && i < paths.n; i++)
		puts(paths.v[i]);
	return r;
}

static int clear_failures(struct store_conn *c, const struct cmd_env *env, struct err *e)
{
	static const char *const all[] = { "*" };
	if (!env->nargs)
		return store_failures_forget(c, all, 1, e);
	return store_failures_forget(c, (const char *const *)env->args, env->nargs, e);
}

static int run(struct cmd_env *env, struct err *e)
{
	struct failures_ctx *x = env->ctx;
	struct store_conn *c = NULL;
	if (env->nargs && !x->clear)
		return cmd_usage(e, "paths can be named with --clear only");
	int r = store_open(&x->store, &c, e);
	if (!r)
		r = x->clear ? clear_failures(c, env, e) : print_failures(c, e);
	store_close(c);
	return r ? r : store_finish_output(e);
}

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct failures_ctx, store),
	{ "clear", 0, CMD_FLAG, offsetof(struct failures_ctx, clear), NULL,
	  "forget PATHs, or all: they are tried again" },
};

const struct cmd store_cmd_failures = {
	.name = "failures",
	.synopsis = "[PATH...]",
	.summary = "list the outputs whose build is remembered to have failed",
	.examples = "cairn store failures --clear    all are tried again",
	.help = "Only a daemon with --cache-failures remembers any, and does not build them again. "
		"A\n"
		"derivation stands for its outputs.",
	CMD_OPTS(options),
	.context_size = sizeof(struct failures_ctx),
	.max_args = SIZE_MAX,
	.run = run,
};
