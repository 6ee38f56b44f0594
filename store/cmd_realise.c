/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn store realise */
#include "store/cmd_store.h"

struct ctx {
	struct store_opts store;
	bool physical;
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	STORE_OPTIONS_BUILD(struct ctx, store),
	{ "physical", 0, CMD_FLAG, offsetof(struct ctx, physical), NULL,
	  "print where the items lie on disk" },
};

/* What is valid now: the path itself, or the outputs of a derivation. */
static int print_result(struct ctx *x, struct store_conn *c, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec outputs = VEC_INIT;
	int r = 0;

	if (!slice_ends(slice_of(path), ".drv")) {
		store_print_path(c, path, x->physical);
		return 0;
	}
	r = store_drv_outputs(c, &a, path, &outputs, e);
	for (size_t i = 0; r == 0 && i < outputs.n; i++)
		store_print_path(c, outputs.v[i], x->physical);
	return r;
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *x = env->ctx;
	struct store_conn *c = NULL;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		r = store_operands(c, &a, env->args, env->nargs, &paths, e);
	if (r == 0)
		r = store_build(c, (const char *const *)paths.v, paths.n, e);
	for (size_t i = 0; r == 0 && i < paths.n; i++)
		r = print_result(x, c, paths.v[i], e);
	store_close(c);
	return r == 0 ? store_finish_output(e) : r;
}

const struct cmd store_cmd_realise = {
	.name = "realise",
	.synopsis = "PATH...",
	.summary = "fetch or build store paths",
	.examples = "cairn store realise $(cairn build -d zlib)",
	.help = "A path is fetched from a cache with all it refers to; the outputs of a derivation "
		"are\nfetched, or built where no cache has them. They are printed.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run,
};
