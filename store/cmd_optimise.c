/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn store optimise: what --disable-deduplication, or another program, left undone. */
#include "store/cmd_store.h"
#include "store/store.h"

struct optimise_ctx {
	struct store_opts store;
};

static int run(struct cmd_env *env, struct err *e)
{
	struct optimise_ctx *x = env->ctx;
	struct store_conn *c = NULL;
	int r = store_open(&x->store, &c, e);
	if (!r)
		r = store_optimise(c, e);
	store_close(c);
	return r;
}

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct optimise_ctx, store),
};

const struct cmd store_cmd_optimise = {
	.name = "optimise",
	.summary = "make equal files of the store one file with several names",
	.examples = "cairn store optimise",
	.help = "Items are made so when they are added, unless the daemon runs with\n"
		"--disable-deduplication. Says how much space that saved.",
	CMD_OPTS(options),
	.context_size = sizeof(struct optimise_ctx),
	.run = run,
};
