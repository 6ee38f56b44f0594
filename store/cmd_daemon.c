/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/log.h"
#include "store/daemon.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>

#include "lib/path.h"

struct ctx {
	struct store_opts store;
	const char *dialect;
	struct vec listen;
};

static const struct cmd_opt options[] = {
	{ "cores", 'c', CMD_U64, offsetof(struct ctx, store.cores), "N",
	  "processors a build may use, 0 for all" },
	{ "dialect", 0, CMD_STR, offsetof(struct ctx, dialect), "NAME",
	  "protocol and store of guix (default) or nix" },
	{ "listen", 0, CMD_LIST, offsetof(struct ctx, listen), "PATH",
	  "socket to listen at (may be repeated; default STATE/daemon-socket/socket)" },
	{ "max-jobs", 'M', CMD_U64, offsetof(struct ctx, store.max_jobs), "N",
	  "builds at the same time, of all clients" },
	{ "root", 0, CMD_STR, offsetof(struct ctx, store.root), "DIR",
	  "private root: store at DIR/gnu/store" },
	{ "state-dir", 0, CMD_STR, offsetof(struct ctx, store.state_dir), "DIR",
	  "logical state directory" },
	{ "store-dir", 0, CMD_STR, offsetof(struct ctx, store.store_dir), "DIR",
	  "logical store directory" },
};

static void say_ready(void *arg)
{
	const struct vec *v = arg;
	for (size_t i = 0; i < v->n; i++)
		log_info("daemon: listening socket=%s", (char *)v->v[i]);
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	enum dialect dialect = DIALECT_GUIX;
	if (c->dialect && dialect_parse(slice_of(c->dialect), &dialect))
		return cmd_usage(e, "--dialect must be guix or nix, not '%s'", c->dialect);
	const char *state =
		c->store.state_dir ? c->store.state_dir : dialect_facts(dialect)->state_dir;
	char usual[PATH_MAX], root[PATH_MAX] = "";
	if (c->store.root && c->store.root[0] != '/')
		return cmd_usage(e, "--root must be an absolute path");
	if (c->store.root && path_join(root, c->store.root, "") == 0)
		for (size_t n = strlen(root); n && root[n - 1] == '/'; n--)
			root[n - 1] = 0;
	int n = snprintf(usual, sizeof(usual), "%s%s/daemon-socket/socket", root, state);
	if (n < 0 || (size_t)n >= sizeof(usual))
		return err_set(e, -ENAMETOOLONG, "%s", state);
	char state_phys[PATH_MAX];
	snprintf(state_phys, sizeof(state_phys), "%s%s", root, state); /* shorter than usual */
	int r = local_check_family(state_phys, dialect, e);
	if (r)
		return r;
	if (!c->listen.n)
		vec_add(&c->listen, usual);
	struct daemon_opts o = { .serve = { .local = { .root = root,
						       .store_dir = c->store.store_dir,
						       .state_dir = c->store.state_dir,
						       .dialect = dialect },
					    .dialect = dialect,
					    .max_jobs = c->store.max_jobs,
					    .cores = c->store.cores },
				 .listen = &c->listen,
				 .ready = say_ready,
				 .arg = &c->listen };
	return daemon_run(&o, e);
}

const struct cmd store_cmd_daemon = {
	.name = "daemon",
	.summary = "Build derivations for the clients of a socket",
	.help = "Listens at a Unix socket and builds what clients ask for, each derivation in a\n"
		"sandbox of its own. Sockets given by LISTEN_FDS are used instead of --listen. A\n"
		"NOTIFY_SOCKET is told when connections are accepted. SIGTERM ends the listener;\n"
		"connections that are open go on until their clients leave.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.run = run,
};
