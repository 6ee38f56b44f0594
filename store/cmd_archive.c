/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn archive: keys, and bundles of store items. */
#include <stdio.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "store/cmd_store.h"
#include "store/keys.h"

struct ctx {
	struct store_opts store;
	const char *dialect, *key_name;
	bool generate, authorize;
	/* while running */
	char root[PATH_MAX], conf[PATH_MAX]; /* physical */
	enum dialect family;
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "authorize", 0, CMD_FLAG, offsetof(struct ctx, authorize), NULL,
	  "trust the public key on standard input" },
	{ "dialect", 0, CMD_STR, offsetof(struct ctx, dialect), "NAME",
	  "make a key for guix (default) or nix" },
	{ "generate-key", 0, CMD_FLAG, offsetof(struct ctx, generate), NULL,
	  "make the key that signs what leaves this store" },
	{ "key-name", 0, CMD_STR, offsetof(struct ctx, key_name), "NAME",
	  "name of a key for nix (default: HOST-1)" },
};

/* ---- Keys ------------------------------------------------------------------------------------ */

/* The root whose /etc holds the keys: the machine's for its administrator. */
static int find_root(struct ctx *x, struct err *e)
{
	struct store_conn *c = NULL;
	const char *root = x->store.root ? x->store.root : getenv("CAIRN_ROOT");
	int r = 0;

	if (!root && geteuid() == 0)
		return 0; /* "" */
	if (!root) {
		r = store_open(&x->store, &c, e);
		root = r == 0 ? store_conn_root(c) : "";
	}
	if (r == 0 && snprintf(x->root, sizeof(x->root), "%s", root) >= (int)sizeof(x->root))
		r = err_set(e, -ERR_USAGE, "--root is too long");
	store_close(c);
	return r;
}

static const char *conf_dir(void *arg, enum dialect d)
{
	struct ctx *x = arg;
	int n = snprintf(x->conf, sizeof(x->conf), "%s%s", x->root, dialect_facts(d)->conf_dir);

	return n < 0 || (size_t)n >= sizeof(x->conf) ? "" : x->conf;
}

static int generate_key(struct ctx *x, struct err *e)
{
	char host[65] = "", name[80];
	int r = find_root(x, e);

	if (r < 0)
		return r;
	if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
		snprintf(host, sizeof(host), "cairn");
	snprintf(name, sizeof(name), "%s-1", host);
	r = keys_generate(x->family, conf_dir(x, x->family), x->key_name ? x->key_name : name, e);
	if (r < 0)
		return r;
	printf("%s/signing-key.pub\n", conf_dir(x, x->family));
	return store_finish_output(e);
}

static int authorize_key(struct ctx *x, struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r = find_root(x, e);

	if (r == 0)
		r = fd_read_all(STDIN_FILENO, &text, LIMIT_KEY_FILE);
	if (r < 0)
		return err_num(e, r, "cannot read the key from standard input");
	return trust_authorize(str_slice(&text), conf_dir, x, e);
}

/* ---- The command ----------------------------------------------------------------------------- */

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *x = env->ctx;

	if (x->dialect && dialect_parse(slice_of(x->dialect), &x->family))
		return cmd_usage(e, "--dialect must be guix or nix, not '%s'", x->dialect);
	if (x->generate + x->authorize != 1)
		return cmd_usage(e, "one of --authorize and --generate-key is needed");
	if ((x->dialect || x->key_name) && !x->generate)
		return cmd_usage(e, "--dialect and --key-name go with --generate-key");
	return x->generate ? generate_key(x, e) : authorize_key(x, e);
}

const struct cmd store_cmd_archive = {
	.name = "archive",
	.summary = "Make and trust keys of stores",
	.help = "Keys are in /etc/guix and /etc/nix, below a private root in DIR/etc/guix and so "
		"on.\n"
		"--generate-key prints the file of the public key, which others give to "
		"--authorize:\n"
		"from then on they believe what it signed.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.run = run,
};
