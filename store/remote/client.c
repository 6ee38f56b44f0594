/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Connection to a build daemon, or to the same code forked over a socket pair. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "store/daemon/serve.h"
#include "store/remote/conn.h"
#include "store/remote/remote.h"

#define VERSION (dialect_facts(DIALECT_GUIX)->version)

/* ---- Where the store is ---------------------------------------------------------------------- */

char *client_absolute(struct arena *a, const char *dir)
{
	if (dir[0] == '/')
		return arena_str(a, dir);
	char cwd[PATH_MAX];
	if (!getcwd(cwd, sizeof(cwd)))
		return NULL;
	return arena_fmt(a, "%s/%s", cwd, dir);
}

/* The private root without '/' at the end; "" means the machine's own store. */
static int set_root(struct store_conn *c, const char *dir, struct err *e)
{
	c->root = client_absolute(&c->a, dir);
	if (!c->root)
		return err_set(e, -ENOMEM, "cannot resolve the private root %s", dir);
	for (size_t n = strlen(c->root); n && c->root[n - 1] == '/'; n--)
		c->root[n - 1] = 0;
	return 0;
}

static int default_root(struct store_conn *c, struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *dir = NULL;
	if (state && state[0] == '/')
		dir = arena_fmt(&c->a, "%s/cairn", state);
	else if (home && home[0] == '/')
		dir = arena_fmt(&c->a, "%s/.local/state/cairn", home);
	else
		return err_hint(e, err_set(e, -ERR_USAGE, "there is no place for a private store"),
				"set HOME, or give --root DIR");
	return dir ? set_root(c, dir, e) : err_set(e, -ENOMEM, "out of memory");
}

int client_connect(const char *path, int *ret, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char via[sizeof(sa.sun_path)];
	const char *name = path;
	auto_fd int dir = -1;
	if (strlen(path) >= sizeof(sa.sun_path)) { /* too long: go through its directory */
		char d[PATH_MAX];
		if (path_dir(d, path) == 0)
			dir = open(d, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return err_sys(e, "cannot open the directory of %s", path);
		if (snprintf(via, sizeof(via), "/proc/self/fd/%d/%s", dir, path_base(path)) >=
		    (int)sizeof(via))
			return err_set(e, -ENAMETOOLONG, "the socket name %s is too long", path);
		path = via;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int r = err_sys(e, "cannot connect to the build daemon at %s", name);
		bool none = r == -ENOENT || r == -ECONNREFUSED;
		return none ? err_hint(e, r, "start cairn daemon, or give --root DIR") : r;
	}
	*ret = fd_take(&fd);
	return 0;
}

static int run_embedded(struct store_conn *c, int *ret, struct err *e)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot make a socket pair");
	struct serve_opts o = { .local = { .root = c->root,
					   .store_dir = c->store_dir,
					   .state_dir = c->state_dir,
					   .log_dir = c->log_dir,
					   .dialect = DIALECT_ANY },
				.policy = POLICY_INIT,
				.client_uid = geteuid(),
				.client_gid = getegid(),
				.trusted = true,
				.broker = -1 };
	pid_t pid = fork();
	if (pid < 0) {
		int r = err_sys(e, "cannot fork");
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (pid == 0) {
		close(pair[0]);
		setsid(); /* ^C is for the client; we clean up when it is gone */
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		serve(pair[1], &o);
		_exit(0);
	}
	close(pair[1]);
	c->child = pid;
	*ret = pair[0];
	return 0;
}

/* The root of a daemon that was named by its socket: as given, or what stands before the usual
 * place of the socket. A socket elsewhere is taken for that of the machine's own store. */
static int set_root_of_socket(struct store_conn *c, const char *sock, const char *usual,
			      struct err *e)
{
	if (c->opts.root)
		return set_root(c, c->opts.root, e);
	char *path = client_absolute(&c->a, sock);
	if (!path)
		return err_set(e, -ENOMEM, "cannot resolve the socket %s", sock);
	if (!slice_ends(slice_of(path), usual) || strlen(path) == strlen(usual))
		return 0;
	path[strlen(path) - strlen(usual)] = 0;
	return set_root(c, path, e);
}

static int find_remote(struct store_conn *c, int *ret, struct err *e)
{
	struct remote m;
	int r = remote_parse(&c->a, c->opts.remote, &m, e);
	if (r)
		return r;
	c->root = arena_str(&c->a, m.root ? m.root : "");
	m.known_hosts = c->opts.known_hosts;
	m.alias = c->opts.host_alias;
	m.identity = c->opts.identity;
	return c->root ? remote_start(&m, ret, &c->child, e) : err_set(e, -ENOMEM, "out of memory");
}

static int find_fresh(struct store_conn *c, int *ret, struct err *e)
{
	int r = set_root(c, c->opts.root, e);
	return r ? r
		 : remote_start_here(c->opts.root, c->store_dir, c->state_dir, ret, &c->child, e);
}

/* Choose daemon or private root. *ret_socket: that of the daemon, NULL: it is embedded. */
static int choose_store(struct store_conn *c, const char **ret_socket, struct err *e)
{
	const struct store_opts *o = &c->opts;
	const char *root = o->root ? o->root : getenv("CAIRN_ROOT");
	const char *sock = o->socket;
	*ret_socket = sock;
	c->root = arena_str(&c->a, "");
	char *usual = arena_fmt(&c->a, "%s/daemon-socket/socket", c->state_dir);
	if (!c->root || !usual)
		return err_set(e, -ENOMEM, "out of memory");
	if (sock)
		return set_root_of_socket(c, sock, usual, e);
	if (root && *root)
		return set_root(c, root, e);
	if (access(usual, F_OK) != 0)
		return default_root(c, e);
	*ret_socket = usual;
	return 0;
}

/* Connect to it, or fork it. */
static int find_store(struct store_conn *c, int *ret, struct err *e)
{
	const char *sock;
	int r = choose_store(c, &sock, e);
	if (r)
		return r;
	return sock ? client_connect(sock, ret, e) : run_embedded(c, ret, e);
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* Of another machine only ssh knows why nobody answers. It says so on standard error, which for a
 * build is that of a builder. */
static int nobody_answers(struct store_conn *c, struct err *e)
{
	int err = c->s.err;
	if (!c->opts.remote || (err != -ENODATA && err != -EPIPE && err != -ECONNRESET))
		return conn_broken(c, e);
	int r = err_set(e, -ERR_PROTO, "%s: ssh ended before a build daemon answered",
			c->opts.remote);
	return c->opts.raw ? err_hint(e, r, "'cairn build --verbose' shows why") : r;
}

static int greet(struct store_conn *c, struct err *e)
{
	struct stream *s = &c->s;
	stream_put_u64(s, PROTO_MAGIC_CLIENT);
	(void)stream_flush(s); /* sticks in s->err */
	uint64_t magic = stream_u64(s);
	uint64_t version = stream_u64(s);
	if (s->err)
		return nobody_answers(c, e);
	if (magic != PROTO_MAGIC_SERVER || PROTO_MAJOR(version) != PROTO_MAJOR(VERSION))
		return conn_name_remote(
			c, err_set(e, -ERR_PROTO, "the other side is no build daemon we know"), e);
	stream_put_u64(s, VERSION);
	stream_put_u64(s, 0); /* no processor wanted */
	stream_put_u64(s, 0); /* no space reserved */
	return conn_finish(c, e);
}

static int set_directories(struct store_conn *c, const struct store_opts *opts, struct err *e)
{
	c->opts = *opts;
	c->store_dir = arena_str(&c->a, opts->store_dir ? opts->store_dir : STORE_DIR_DEFAULT);
	c->state_dir = arena_str(&c->a, opts->state_dir ? opts->state_dir : STORE_STATE_DEFAULT);
	c->log_dir = arena_str(&c->a, STORE_LOG_DEFAULT);
	if (!c->store_dir || !c->state_dir || !c->log_dir)
		return err_set(e, -ENOMEM, "out of memory");
	if (c->store_dir[0] != '/' || c->state_dir[0] != '/')
		return err_set(e, -ERR_USAGE, "store and state directory must be absolute paths");
	return 0;
}

static int open_conn(struct store_conn *c, const struct store_opts *opts, struct err *e)
{
	int fd;
	int r = set_directories(c, opts, e);
	if (r)
		return r;
	r = opts->remote  ? find_remote(c, &fd, e)
	    : opts->fresh ? find_fresh(c, &fd, e)
			  : find_store(c, &fd, e);
	if (r)
		return r;
	r = stream_init(&c->s, fd);
	if (r)
		return err_set(e, r, "out of memory");
	return greet(c, e);
}

int store_find_places(const struct store_opts *opts, struct arena *a, struct store_places *ret,
		      struct err *e)
{
	struct store_conn c = { .a = ARENA_INIT };
	const char *sock;
	int r = set_directories(&c, opts, e);
	if (!r)
		r = choose_store(&c, &sock, e);
	if (!r) {
		ret->root = arena_str(a, c.root);
		ret->store_dir = arena_str(a, c.store_dir);
		ret->state_dir = arena_str(a, c.state_dir);
		r = arena_err(a) ? err_set(e, -ENOMEM, "out of memory") : 0;
	}
	arena_done(&c.a);
	return r;
}

int store_open(const struct store_opts *opts, struct store_conn **ret, struct err *e)
{
	struct store_conn *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->s = (struct stream){ .fd = -1, .out = STR_INIT, .left = SIZE_MAX };
	static const struct store_opts none;
	int r = open_conn(c, opts ? opts : &none, e);
	if (r) {
		store_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void store_close(struct store_conn *c)
{
	if (!c)
		return;
	stream_done(&c->s);
	if (c->child > 0)
		while (waitpid(c->child, NULL, 0) < 0 && errno == EINTR)
			;
	progress_free(c->progress);
	str_done(&c->got);
	arena_done(&c->a);
	free(c);
}

const char *store_conn_dir(const struct store_conn *c)
{
	return c->store_dir;
}

const char *store_conn_state(const struct store_conn *c)
{
	return c->state_dir;
}

const char *store_conn_log(const struct store_conn *c)
{
	return c->log_dir;
}

const char *store_conn_root(const struct store_conn *c)
{
	return c->root;
}

char *store_conn_physical(const struct store_conn *c, struct arena *a, const char *logical)
{
	return arena_fmt(a, "%s%s", c->root, logical);
}
