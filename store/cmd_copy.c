/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn copy: items to and from other machines. */
#include <stdio.h>

#include "store/cmd_store.h"
#include "store/remote/copy.h"

struct ctx {
	struct store_opts store;
	const char *to, *from;
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "from", 0, CMD_STR, offsetof(struct ctx, from), "ADDRESS", "copy from that machine" },
	{ "to", 0, CMD_STR, offsetof(struct ctx, to), "ADDRESS", "copy to that machine" },
};

static void tell(void *arg, const char *path)
{
	(void)arg;
	fprintf(stderr, "copying %s\n", path);
}

static int copy(struct ctx *x, struct store_conn *here, struct store_conn *there, char *const *args,
		size_t nargs, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT;
	struct copy c = {
		.from = x->to ? here : there, .to = x->to ? there : here, .sign = true, .tell = tell
	};
	size_t n = 0;
	int r = store_operands(here, &a, args, nargs, &paths, e);
	if (!r)
		r = copy_items(&c, (const char *const *)paths.v, paths.n, &n, e);
	for (size_t i = 0; !r && i < paths.n; i++)
		store_print_path(here, paths.v[i], false);
	return r ? r : store_finish_output(e);
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *x = env->ctx;
	struct store_conn *here = NULL, *there = NULL;
	struct store_opts far = { .remote = x->to ? x->to : x->from };
	if (!x->to == !x->from)
		return cmd_usage(e, "give one of --to and --from");
	int r = store_open(&x->store, &here, e);
	far.store_dir = x->store.store_dir;
	if (!r)
		r = store_open(&far, &there, e);
	if (!r)
		r = copy(x, here, there, env->args, env->nargs, e);
	store_close(there);
	store_close(here);
	return r;
}

const struct cmd store_cmd_copy = {
	.name = "copy",
	.synopsis = "PATH...",
	.summary = "copy store items to and from other machines",
	.examples = "cairn copy --to ssh://root@web.example.org $(cairn build curl)\n"
		    "cairn copy --from ssh://builder $(readlink result)",
	.help = "Copies items and all that they refer to, as far as they are missing. An ADDRESS\n"
		"is ssh://[USER@]HOST[:PORT], with /?root=DIR for a private root there and\n"
		"&program=PATH where cairn is not in the search path. Items are signed with the\n"
		"key of the store that has them, which the other must trust (see cairn archive).\n"
		"CAIRN_SSH is the command used in place of ssh, with its options.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run,
};
