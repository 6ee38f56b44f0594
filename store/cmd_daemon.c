/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/daemon/daemon.h"
#include "store/daemon/listen.h"
#include "store/remote/stdio.h"
#include "store/store.h"
#include "store/subst/subst.h"

#define ROUNDS_MAX    100
#define DRAIN_TIMEOUT 86400 /* as a build has */

struct ctx {
	struct store_opts store;
	struct policy policy;
	const char *dialect, *log_compression, *timeout, *max_silent, *rounds, *max_log, *drain;
	enum cmd_yesno discover, keep_outputs, keep_derivations;
	bool stdio, debug, no_dedup, no_chroot;
	uint64_t drain_timeout;
	struct vec listen, dirs;
};

/* The names are those of guix-daemon. */
static const struct cmd_opt options[] = {
	{ "build-users-group", 0, CMD_STR, offsetof(struct ctx, policy.build_group), "GROUP",
	  "build as the members of GROUP (default: as ids without a name)" },
	{ "cache-failures", 0, CMD_FLAG, offsetof(struct ctx, policy.cache_failures), NULL,
	  "do not try again what failed once" },
	{ "chroot-directory", 0, CMD_LIST, offsetof(struct ctx, dirs), "[INSIDE=]DIR",
	  "show DIR to every builder, read-only (may be repeated)" },
	{ "cores", 'c', CMD_U64, offsetof(struct ctx, store.cores), "N",
	  "processors a build may use, 0 for all" },
	{ "debug", 0, CMD_FLAG, offsetof(struct ctx, debug), NULL, "say what is going on" },
	{ "dialect", 0, CMD_STR, offsetof(struct ctx, dialect), "NAME",
	  "protocol and store of guix (default) or nix" },
	{ "disable-chroot", 0, CMD_FLAG, offsetof(struct ctx, no_chroot), NULL,
	  "refused: nothing is built without a sandbox" },
	{ "disable-deduplication", 0, CMD_FLAG, offsetof(struct ctx, no_dedup), NULL,
	  "do not make equal files links to one" },
	{ "discover", 0, CMD_YESNO, offsetof(struct ctx, discover), "yes|no",
	  "refused unless no: caches of the local network are not looked for" },
	{ "drain-timeout", 0, CMD_STR, offsetof(struct ctx, drain), "SEC",
	  "end connections that are still open SEC seconds after SIGTERM, 0 for never (default "
	  "86400)" },
	{ "gc-keep-derivations", 0, CMD_YESNO, offsetof(struct ctx, keep_derivations), "yes|no",
	  "keep the derivations of what lives (default yes)" },
	{ "gc-keep-outputs", 0, CMD_YESNO, offsetof(struct ctx, keep_outputs), "yes|no",
	  "keep the outputs of derivations that live (default no)" },
	{ "git", 0, CMD_STR, offsetof(struct ctx, policy.git), "FILE",
	  "program that fetches repositories (default: from PATH)" },
	{ "impersonate-linux-2.6", 0, CMD_FLAG, offsetof(struct ctx, policy.old_kernel), NULL,
	  "show builders a Linux 2.6" },
	{ "isolate-host-loopback", 0, CMD_FLAG, offsetof(struct ctx, policy.isolate), NULL,
	  "keep fixed outputs' builders from the machine's own loopback interface" },
	{ "listen", 0, CMD_LIST, offsetof(struct ctx, listen), "SOCKET",
	  "path of a socket, or HOST[:PORT] (may be repeated; default "
	  "STATE/daemon-socket/socket)" },
	{ "log-compression", 0, CMD_STR, offsetof(struct ctx, log_compression), "TYPE",
	  "of build logs: gzip (default) or none" },
	{ "lose-logs", 0, CMD_FLAG, offsetof(struct ctx, policy.lose_logs), NULL,
	  "keep no build logs" },
	{ "max-jobs", 'M', CMD_U64, offsetof(struct ctx, store.max_jobs), "N",
	  "builds at the same time, of all clients" },
	{ "max-log-size", 0, CMD_STR, offsetof(struct ctx, max_log), "BYTES",
	  "end a build that prints more (K, M, G are understood; default: no limit)" },
	{ "max-silent-time", 0, CMD_STR, offsetof(struct ctx, max_silent), "SEC",
	  "end a build silent for SEC seconds, 0 for never (default 3600)" },
	{ "no-offload", 0, CMD_FLAG, offsetof(struct ctx, policy.no_offload), NULL,
	  "build nothing on other machines" },
	{ "no-substitutes", 0, CMD_FLAG, offsetof(struct ctx, policy.no_substitutes), NULL,
	  "ask no caches, whatever clients say" },
	{ "root", 0, CMD_STR, offsetof(struct ctx, store.root), "DIR",
	  "private root: store at DIR/gnu/store" },
	{ "rounds", 0, CMD_STR, offsetof(struct ctx, rounds), "N",
	  "build everything N times; the results must agree (default 1)" },
	{ "slirp4netns", 0, CMD_STR, offsetof(struct ctx, policy.slirp), "FILE",
	  "program that gives fixed outputs' builders a network (default: from PATH)" },
	{ "state-dir", 0, CMD_STR, offsetof(struct ctx, store.state_dir), "DIR",
	  "logical state directory" },
	{ "stdio", 0, CMD_FLAG, offsetof(struct ctx, stdio), NULL,
	  "serve one client on standard input and output, by the running daemon if there is one" },
	{ "store-dir", 0, CMD_STR, offsetof(struct ctx, store.store_dir), "DIR",
	  "logical store directory" },
	{ "substitute-urls", 0, CMD_STR, offsetof(struct ctx, policy.substitute_urls), "URLS",
	  "caches to ask for what need not be built, blank-separated" },
	{ "system", 0, CMD_STR, offsetof(struct ctx, policy.system), "SYSTEM",
	  "build for SYSTEM, too, which this machine can execute by other means" },
	{ "timeout", 0, CMD_STR, offsetof(struct ctx, timeout), "SEC",
	  "end a build after SEC seconds, 0 for never (default 86400)" },
	{ "trusted-public-keys", 0, CMD_STR, offsetof(struct ctx, policy.trusted_keys), "KEYS",
	  "keys of Nix's form to trust besides those in its directory, blank-separated" },
};

static void say_ready(void *arg)
{
	const struct vec *v = arg;
	for (size_t i = 0; i < v->n; i++)
		log_info("daemon: listening socket=%s", (char *)v->v[i]);
}

static void say_paused(uint64_t client)
{
	char text[LISTEN_CLIENT_TEXT];
	listen_client_text(client, text);
	log_warn("daemon: connections crashed too often, not served for a while %s", text);
}

static void say_draining(bool over, size_t n)
{
	if (over)
		log_warn("daemon: time is over, connections of before are ended connections=%zu",
			 n);
	else
		log_info("daemon: ends, connections go on connections=%zu", n);
}

/* A number that was given as text, so that 0 and nothing can be told apart. */
static int parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
			uint64_t *ret, struct err *e)
{
	if (!text)
		return 0;
	if (text_u64(slice_of(text), max, ret) || *ret < min)
		return cmd_usage(e, "option --%s needs a number from %llu to %llu, not '%s'",
				 option, (unsigned long long)min, (unsigned long long)max, text);
	return 0;
}

static int check_refused(const struct ctx *c, struct err *e)
{
	if (c->no_chroot)
		return cmd_usage(e, "--disable-chroot: nothing is built without a sandbox");
	if (c->discover == CMD_YES)
		return cmd_usage(e, "--discover: caches of the local network are not looked for");
	return 0;
}

static int parse_logs(struct ctx *c, struct err *e)
{
	const char *type = c->log_compression ? c->log_compression : "gzip";
	if (strcmp(type, "bzip2") == 0)
		return cmd_usage(e, "--log-compression: logs are not made with bzip2, only gzip or "
				    "none");
	if (strcmp(type, "gzip") != 0 && strcmp(type, "none") != 0)
		return cmd_usage(e, "--log-compression must be gzip or none, not '%s'", type);
	c->policy.plain_logs = strcmp(type, "none") == 0;
	if (c->max_log && text_size(slice_of(c->max_log), &c->policy.max_log))
		return cmd_usage(e, "--max-log-size must be a size, not '%s'", c->max_log);
	return 0;
}

static int parse_policy(struct ctx *c, struct err *e)
{
	struct policy *p = &c->policy;
	p->timeout = POLICY_TIMEOUT;
	p->max_silent = POLICY_MAX_SILENT;
	p->rounds = 1;
	int r = check_refused(c, e);
	if (!r)
		r = parse_number("timeout", c->timeout, 0, UINT32_MAX, &p->timeout, e);
	if (!r)
		r = parse_number("max-silent-time", c->max_silent, 0, UINT32_MAX, &p->max_silent,
				 e);
	if (!r)
		r = parse_number("rounds", c->rounds, 1, ROUNDS_MAX, &p->rounds, e);
	c->drain_timeout = DRAIN_TIMEOUT;
	if (!r)
		r = parse_number("drain-timeout", c->drain, 0, UINT32_MAX, &c->drain_timeout, e);
	if (!r)
		r = parse_logs(c, e);
	if (!r)
		r = subst_check_policy(p, e);
	p->keep_outputs = c->keep_outputs == CMD_YES;
	p->drop_derivations = c->keep_derivations == CMD_NO;
	return r;
}

static int check_group(const char *group, struct err *e)
{
	const struct group *gr = group ? getgrnam(group) : NULL;
	if (group && geteuid() != 0)
		return cmd_usage(e, "--build-users-group: only root can build as other users");
	if (group && !gr)
		return err_set(e, -ERR_NOTFOUND, "the group '%s' does not exist", group);
	if (group && !gr->gr_mem[0])
		return err_set(e, -ERR_INVALID, "the group '%s' has no members", group);
	return 0;
}

/* "INSIDE=DIR" or "DIR" to pairs. */
static int parse_dirs(struct ctx *c, struct arena *a, struct err *e)
{
	if (!c->dirs.n)
		return 0;
	const char **pairs = arena_array(a, 2 * c->dirs.n + 1, sizeof(*pairs));
	if (!pairs)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->dirs.n; i++) {
		const char *text = c->dirs.v[i], *eq = strchr(text, '=');
		const char *inside = eq ? arena_strn(a, text, (size_t)(eq - text)) : text;
		const char *outside = eq ? eq + 1 : text;
		if (!inside || inside[0] != '/' || outside[0] != '/' || !inside[1])
			return cmd_usage(e, "--chroot-directory needs absolute paths, not '%s'",
					 text);
		if (access(outside, F_OK) < 0)
			return err_sys(e, "--chroot-directory %s", outside);
		pairs[2 * i] = inside;
		pairs[2 * i + 1] = outside;
	}
	pairs[2 * c->dirs.n] = NULL;
	c->policy.dirs = pairs;
	return 0;
}

static int find_places(struct ctx *c, enum dialect dialect, char root[PATH_MAX],
		       char usual[PATH_MAX], struct err *e)
{
	const char *state =
		c->store.state_dir ? c->store.state_dir : dialect_facts(dialect)->state_dir;
	if (c->store.root && c->store.root[0] != '/')
		return cmd_usage(e, "--root must be an absolute path");
	if (c->store.root && path_join(root, c->store.root, "") == 0)
		for (size_t n = strlen(root); n && root[n - 1] == '/'; n--)
			root[n - 1] = 0;
	int n = snprintf(usual, PATH_MAX, "%s%s/daemon-socket/socket", root, state);
	if (n < 0 || n >= PATH_MAX)
		return err_set(e, -ENAMETOOLONG, "%s", state);
	char state_phys[PATH_MAX];
	snprintf(state_phys, sizeof(state_phys), "%s%s", root, state); /* shorter than usual */
	return local_check_family(state_phys, dialect, e);
}

/* The one who can start this program as this user is this user. */
static int serve_stdio(struct serve_opts *o, const char *socket, struct err *e)
{
	o->client_uid = geteuid();
	o->client_gid = getegid();
	o->trusted = true;
	o->broker = -1;
	return stdio_serve(o, socket, e);
}

static int serve_all(struct ctx *c, enum dialect dialect, const char *root, const char *usual,
		     struct err *e)
{
	struct daemon_opts o = { .serve = { .local = { .root = root,
						       .store_dir = c->store.store_dir,
						       .state_dir = c->store.state_dir,
						       .dialect = dialect,
						       .no_dedup = c->no_dedup },
					    .dialect = dialect,
					    .policy = c->policy,
					    .max_jobs = c->store.max_jobs,
					    .cores = c->store.cores },
				 .listen = &c->listen,
				 .ready = say_ready,
				 .arg = &c->listen,
				 .paused = say_paused,
				 .drain_timeout = c->drain_timeout,
				 .draining = say_draining };
	return c->stdio ? serve_stdio(&o.serve, usual, e) : daemon_run(&o, e);
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	enum dialect dialect = DIALECT_GUIX;
	char usual[PATH_MAX], root[PATH_MAX] = "";
	if (c->dialect && dialect_parse(slice_of(c->dialect), &dialect))
		return cmd_usage(e, "--dialect must be guix or nix, not '%s'", c->dialect);
	int r = parse_policy(c, e);
	if (!r)
		r = check_group(c->policy.build_group, e);
	if (!r)
		r = parse_dirs(c, &a, e);
	if (!r)
		r = find_places(c, dialect, root, usual, e);
	if (r)
		return r;
	if (c->debug)
		log_set_level(LOG_LVL_DEBUG);
	if (c->stdio && c->listen.n)
		return cmd_usage(e, "--stdio and --listen do not go together");
	if (!c->listen.n)
		vec_add(&c->listen, usual);
	return serve_all(c, dialect, root, usual, e);
}

const struct cmd store_cmd_daemon = {
	.name = "daemon",
	.summary = "build derivations for the clients of a socket",
	.examples = "cairn daemon --max-jobs 4 --cores 2\n"
		    "cairn daemon --root /srv/builds --listen /run/builds.socket    another store, "
		    "for itself",
	.help = "Listens at a Unix socket and builds what clients ask for, each derivation in a\n"
		"sandbox of its own. Sockets given by LISTEN_FDS are used instead of --listen. A\n"
		"NOTIFY_SOCKET is told when connections are accepted. SIGTERM ends the listener;\n"
		"connections that are open go on until their clients leave, or for as long as\n"
		"--drain-timeout says. Whoever can reach a\n"
		"TCP port can build: there is no encryption and nobody is asked who he is.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.run = run,
};
