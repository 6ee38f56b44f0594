/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn publish */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/text.h"
#include "store/cmd_store.h"
#include "store/subst/httpd.h"
#include "store/local/local.h"
#include "store/subst/publish.h"
#include "store/daemon/serve.h"

#define DURATION_MAX ((uint64_t)1 << 31) /* seconds */

struct ctx {
	struct store_opts store;
	const char *dialect, *listen, *user, *nar_path, *private_key, *public_key, *ttl,
		*negative_ttl, *port, *cache, *bypass;
	struct vec compression;
	/* while running */
	struct publish p;
	struct signer signer;
	struct str key_text;
	char root[PATH_MAX], file[PATH_MAX];
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "cache", 'c', CMD_STR, offsetof(struct ctx, cache), "DIR",
	  "keep archives in DIR instead of compressing for each reader" },
	{ "cache-bypass-threshold", 0, CMD_STR, offsetof(struct ctx, bypass), "SIZE",
	  "archives up to SIZE are sent before they are kept (default: 10M)" },
	{ "compression", 'C', CMD_LIST, offsetof(struct ctx, compression), "KIND",
	  "gzip, zstd, lzip, xz or none, with a level like zstd:19 (may be repeated)" },
	{ "dialect", 0, CMD_STR, offsetof(struct ctx, dialect), "NAME",
	  "form and store of guix (default) or nix" },
	{ "listen", 0, CMD_STR, offsetof(struct ctx, listen), "HOST",
	  "address to listen at (default: all)" },
	{ "nar-path", 0, CMD_STR, offsetof(struct ctx, nar_path), "PATH",
	  "where archives are below the address (default: nar)" },
	{ "negative-ttl", 0, CMD_STR, offsetof(struct ctx, negative_ttl), "TIME",
	  "how long readers may remember that something is not there, like 10min" },
	{ "port", 'p', CMD_STR, offsetof(struct ctx, port), "PORT",
	  "TCP port (default: 8080); 0 for any" },
	{ "private-key", 0, CMD_STR, offsetof(struct ctx, private_key), "FILE",
	  "signing key (default: the store's own)" },
	{ "public-key", 0, CMD_STR, offsetof(struct ctx, public_key), "FILE",
	  "key that is shown to readers (default: that of the signing key)" },
	{ "ttl", 0, CMD_STR, offsetof(struct ctx, ttl), "TIME",
	  "how long readers may remember what they were told, like 30d" },
	{ "user", 'u', CMD_STR, offsetof(struct ctx, user), "NAME",
	  "whose rights to take once the port is open" },
	{ "workers", 0, CMD_U64, offsetof(struct ctx, p.workers), "N",
	  "archives made at the same time (default: one for each processor)" },
};

static int read_compression(struct ctx *x, struct err *e)
{
	static const struct publish_kind usual[] = { { ZIP_ZSTD, 0 }, { ZIP_GZIP, 3 } };

	if (x->compression.n > PUBLISH_KINDS_MAX)
		return cmd_usage(e, "at most %d ways to compress", PUBLISH_KINDS_MAX);
	for (size_t i = 0; i < x->compression.n; i++)
		if (publish_parse_kind(slice_of(x->compression.v[i]), &x->p.kinds[i]))
			return cmd_usage(e, "'%s' is no way to compress [like zstd:19]",
					 (char *)x->compression.v[i]);
	x->p.nkinds = x->compression.n;
	if (!x->p.nkinds) {
		memcpy(x->p.kinds, usual, sizeof(usual));
		x->p.nkinds = 2;
	}
	return 0;
}

static int read_time(const char *name, const char *text, bool *ret_given, uint64_t *ret,
		     struct err *e)
{
	uint64_t ns = 0;

	if (text && text_duration(slice_of(text), &ns))
		return cmd_usage(e, "--%s: '%s' is no time [like 90s, 10min, 30d]", name, text);
	*ret_given = text != NULL;
	*ret = ns / 1000000000;
	return 0;
}

static int read_options(struct ctx *x, uint64_t *ret_port, struct err *e)
{
	struct publish *p = &x->p;
	int r;

	if (x->dialect && dialect_parse(slice_of(x->dialect), &p->dialect))
		return cmd_usage(e, "--dialect must be guix or nix, not '%s'", x->dialect);
	*ret_port = 8080;
	if (x->port && text_u64(slice_of(x->port), 65535, ret_port))
		return cmd_usage(e, "'%s' is no port", x->port);
	p->nar_path = x->nar_path ? x->nar_path : "nar";
	if (!*p->nar_path || *p->nar_path == '/' || !path_is_clean(p->nar_path))
		return cmd_usage(e, "--nar-path must be like 'nar' or 'some/nar'");
	r = read_compression(x, e);
	if (r == 0)
		r = read_time("ttl", x->ttl, &p->has_ttl, &p->ttl, e);
	if (r == 0)
		r = read_time("negative-ttl", x->negative_ttl, &p->has_negative_ttl,
			      &p->negative_ttl, e);
	if (r == 0 && x->user && p->dialect == DIALECT_NIX)
		return cmd_usage(e, "a store of Nix's family is opened directly: run this as its "
				    "owner, without --user");
	if (r == 0 && !x->cache && (x->bypass || p->workers))
		return cmd_usage(e, "--cache-bypass-threshold and --workers go with --cache");
	p->bypass = 10 << 20;
	if (r == 0 && x->bypass && text_size(slice_of(x->bypass), &p->bypass))
		return cmd_usage(e, "'%s' is no size [like 10M]", x->bypass);
	p->workers = p->workers ? p->workers : serve_processors();
	p->cache = x->cache;
	p->priority = p->dialect == DIALECT_NIX ? 40 : 100;
	store_use_family(&x->store, p->dialect);
	p->store = x->store;
	return r;
}

/* See that there is a store, of the right family, before anybody asks. */
static int check_store(struct ctx *x, struct err *e)
{
	struct store_conn *c = NULL;
	char state[PATH_MAX];
	int r = store_open(&x->store, &c, e);

	if (r < 0)
		return r;
	if (snprintf(x->root, sizeof(x->root), "%s", store_conn_root(c)) >= (int)sizeof(x->root) ||
	    snprintf(state, sizeof(state), "%s%s", x->root, x->store.state_dir) >=
		    (int)sizeof(state))
		r = err_set(e, -ERR_USAGE, "--root is too long");
	store_close(c);
	return r == 0 ? local_check_family(state, x->p.dialect, e) : r;
}

static int load_keys(struct ctx *x, struct err *e)
{
	const char *file = x->private_key;
	int n = snprintf(x->file, sizeof(x->file), "%s%s/signing-key.sec", x->root,
			 dialect_facts(x->p.dialect)->conf_dir);
	int r = n >= (int)sizeof(x->file) ? err_set(e, -ERR_USAGE, "--root is too long")
					  : signer_load(&x->signer, file ? file : x->file, e);

	if (r < 0)
		return r;
	if (signer_family(&x->signer) != x->p.dialect)
		return err_hint(e,
				err_set(e, -ERR_INVALID, "the signing key is of the other family"),
				"give --dialect or --private-key");
	r = x->public_key ? file_read(AT_FDCWD, x->public_key, &x->key_text, LIMIT_KEY_FILE, e)
			  : signer_public(&x->signer, &x->key_text, e);
	x->p.signer = &x->signer;
	x->p.public_key = x->key_text.buf;
	return r;
}

/* The directory, which belongs to who will write there. */
static int make_cache(struct ctx *x, struct err *e)
{
	const struct passwd *pw = x->user ? getpwnam(x->user) : NULL;
	int r = file_mkdir_p(AT_FDCWD, x->cache, 0755, e);

	if (r == 0 && pw && chown(x->cache, pw->pw_uid, pw->pw_gid) < 0)
		r = err_sys(e, "cannot give %s to %s", x->cache, x->user);
	return r;
}

static void say_ready(void *arg, unsigned port)
{
	const struct ctx *x = arg;

	if (geteuid() == 0)
		log_warn("publish: running as root; --user gives that up");
	log_info("publish: listening port=%u store=%s", port, x->store.store_dir);
}

static void serve_one(void *arg, int fd)
{
	const struct ctx *x = arg;

	publish_serve(&x->p, fd);
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *x = env->ctx;
	struct httpd_opts o = {
		.host = x->listen, .user = x->user, .ready = say_ready, .serve = serve_one, .arg = x
	};
	int r;

	x->signer = (struct signer)SIGNER_INIT;
	x->key_text = (struct str)STR_INIT;
	r = read_options(x, &o.port, e);
	if (r == 0)
		r = check_store(x, e);
	if (r == 0)
		r = load_keys(x, e);
	if (r == 0 && x->cache)
		r = make_cache(x, e);
	if (r == 0)
		r = httpd_run(&o, e);
	signer_done(&x->signer);
	str_done(&x->key_text);
	return r;
}

const struct cmd store_cmd_publish = {
	.name = "publish",
	.summary = "serve the store by HTTP, as a binary cache",
	.examples = "cairn publish --port 8080 --user nobody -C zstd:19 --cache /var/cache/publish",
	.help = "Everything valid in the store can then be read by who reaches the port, signed "
		"with\n"
		"the key of 'cairn archive --generate-key'. SIGTERM ends it and its connections.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.run = run,
};
