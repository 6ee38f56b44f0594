/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Connection to a build daemon, or to the same code forked over a socket pair. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "store/remote/client.h"
#include "store/build/progress.h"
#include "store/format/protocol.h"
#include "store/remote/remote.h"
#include "store/daemon/serve.h"
#include "store/store.h"
#include "store/format/stream.h"

/* Questions on their way. Even with the longest names they fit a socket's buffer: else both sides
 * could wait for the other to read. */
#define AHEAD	    128
#define TICK_MS	    1000
#define PIECE_BYTES 65536
#define VERSION	    (dialect_facts(DIALECT_GUIX)->version)

struct store_conn {
	struct stream s;
	pid_t child;	/* embedded daemon; 0: none */
	struct arena a; /* the strings below */
	char *root, *store_dir, *state_dir, *log_dir;
	struct store_opts opts;
	bool options_sent;
	struct progress *progress; /* during a build */
	client_feed_fn *feed;	   /* during an import */
	void *feed_arg;
	struct str got; /* of an export: one piece, */
	size_t got_at;	/* and what of it was read */
};

/* ---- Where the store is ---------------------------------------------------------------------- */

static char *absolute(struct arena *a, const char *dir)
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
	c->root = absolute(&c->a, dir);
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
	char *path = absolute(&c->a, sock);
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

/* Choose daemon or private root, connect or fork. */
static int find_store(struct store_conn *c, int *ret, struct err *e)
{
	const struct store_opts *o = &c->opts;
	const char *root = o->root ? o->root : getenv("CAIRN_ROOT");
	const char *sock = o->socket;
	c->root = arena_str(&c->a, "");
	char *usual = arena_fmt(&c->a, "%s/daemon-socket/socket", c->state_dir);
	if (!c->root || !usual)
		return err_set(e, -ENOMEM, "out of memory");
	int r = sock ? set_root_of_socket(c, sock, usual, e) : 0;
	if (sock)
		return r ? r : client_connect(sock, ret, e);
	if (root && *root)
		r = set_root(c, root, e);
	else if (access(usual, F_OK) == 0)
		return client_connect(usual, ret, e);
	else
		r = default_root(c, e);
	return r ? r : run_embedded(c, ret, e);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* With two stores at hand it matters which one has the fault: another machine's is named. */
static int name_remote(struct store_conn *c, int r, struct err *e)
{
	return c->opts.remote ? err_wrap(e, r, "%s", c->opts.remote) : r;
}

/* Connection failures as errors; the daemon's last words, when there are any, are better. */
static int broken(struct store_conn *c, struct err *e)
{
	int err = c->s.err;
	if (err == -ENODATA || err == -EPIPE || err == -ECONNRESET)
		err = err_set(e, -ERR_PROTO, "the build daemon closed the connection");
	else if (err == -ERR_LIMIT || err == -ERR_PROTO)
		err = err_set(e, -ERR_PROTO, "the build daemon sent something malformed");
	else
		err_num(e, err, "cannot talk to the build daemon");
	return name_remote(c, err, e);
}

static void wait_ticking(struct store_conn *c)
{
	struct pollfd p = { .fd = c->s.fd, .events = POLLIN };
	while (c->progress && c->s.pos == c->s.len && poll(&p, 1, TICK_MS) == 0)
		progress_tick(c->progress);
}

static int code_of(uint64_t status)
{
	switch (status) {
	case PROTO_STATUS_FAILED:
		return -ERR_BUILD;
	case PROTO_STATUS_TIMEOUT:
		return -ERR_TIMEOUT;
	case PROTO_STATUS_DIFFERS:
		return -ERR_DIFFERS;
	default:
		return -ERR_REMOTE;
	}
}

/* What the other side asked for; when we have it not it cannot be told, so the connection ends. */
static int send_piece(struct store_conn *c, struct err *e)
{
	static char buf[PIECE_BYTES];
	size_t n = (size_t)MIN_OF(stream_u64(&c->s), (uint64_t)sizeof(buf)), got = 0;
	if (c->s.err)
		return broken(c, e);
	int r = c->feed(c->feed_arg, buf, n, &got, e);
	if (r) {
		c->s.err = -ECONNABORTED;
		return r;
	}
	stream_put_str(&c->s, (struct slice){ buf, got });
	return stream_flush(&c->s) ? broken(c, e) : 0;
}

/* What follows ERROR. */
static int read_error(struct store_conn *c, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *msg = stream_cstr(&c->s, &a, PROTO_LIMIT_TEXT);
	int code = code_of(stream_u64(&c->s));
	if (c->s.err)
		return broken(c, e);
	err_set(e, code, "%s", msg);
	return code == -ERR_REMOTE ? name_remote(c, code, e) : code;
}

/* Read messages up to LAST or ERROR. */
static int read_messages(struct store_conn *c, struct err *e)
{
	struct stream *s = &c->s;
	for (;;) {
		auto_arena struct arena a = ARENA_INIT;
		wait_ticking(c);
		uint64_t tag = stream_u64(s);
		if (s->err)
			return broken(c, e);
		if (tag == PROTO_LAST)
			return 0;
		if (tag == PROTO_NEXT || tag == PROTO_WRITE) {
			struct slice text = stream_str(s, &a, PROTO_LIMIT_TEXT);
			if (c->progress && tag == PROTO_NEXT && !s->err)
				progress_text(c->progress, text);
		} else if (tag == PROTO_ERROR) {
			return read_error(c, e);
		} else if (tag == PROTO_READ && c->feed) {
			int r = send_piece(c, e);
			if (r)
				return r;
		} else {
			s->err = -ERR_PROTO;
		}
	}
}

static int send_options(struct store_conn *c, struct err *e);

/* Start a request: earlier failures stick, options go first. */
static int begin(struct store_conn *c, enum proto_op op, struct err *e)
{
	if (c->s.err)
		return broken(c, e);
	bool builds = op == OP_BUILD_PATHS || op == OP_VERIFY;
	builds |= op == OP_FIND_ROOTS && c->opts.busy;
	int r = builds ? send_options(c, e) : 0;
	if (!r)
		stream_put_u64(&c->s, op);
	return r;
}

/* Send the request and wait for its end; the reply follows in the stream. */
static int finish(struct store_conn *c, struct err *e)
{
	struct stream *s = &c->s;
	if (stream_flush(s) && (s->err == -EPIPE || s->err == -ECONNRESET)) {
		int err = s->err;
		s->err = 0; /* the daemon hung up on us; it may have said why */
		int r = read_messages(c, e);
		s->err = err;
		return r ? r : broken(c, e);
	}
	return s->err ? broken(c, e) : read_messages(c, e);
}

static int done(struct store_conn *c, struct err *e)
{
	return c->s.err ? broken(c, e) : 0;
}

static int ask_path(struct store_conn *c, enum proto_op op, const char *path, struct err *e)
{
	int r = begin(c, op, e);
	if (r)
		return r;
	stream_put_cstr(&c->s, path);
	return finish(c, e);
}

static int ask_list(struct store_conn *c, struct arena *a, enum proto_op op, const char *path,
		    struct vec *ret, struct err *e)
{
	int r = ask_path(c, op, path, e);
	if (r)
		return r;
	stream_list(&c->s, a, ret);
	return done(c, e);
}

/* A question about the whole store. */
static int ask_all(struct store_conn *c, struct arena *a, enum proto_op op, struct vec *ret,
		   struct err *e)
{
	int r = begin(c, op, e);
	if (!r)
		r = finish(c, e);
	if (r)
		return r;
	stream_list(&c->s, a, ret);
	return done(c, e);
}

static void put_strings(struct store_conn *c, const char *const *v, size_t n)
{
	stream_put_u64(&c->s, n);
	for (size_t i = 0; i < n; i++)
		stream_put_cstr(&c->s, v[i]);
}

static void put_pair_u64(struct store_conn *c, const char *name, uint64_t v)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	stream_put_cstr(&c->s, name);
	stream_put_cstr(&c->s, text);
}

static int send_options(struct store_conn *c, struct err *e)
{
	const struct store_opts *o = &c->opts;
	struct stream *s = &c->s;
	if (c->options_sent)
		return 0;
	uint64_t jobs = o->max_jobs ? o->max_jobs : serve_processors();
	uint64_t cores = o->cores || o->remote ? o->cores : serve_processors(); /* 0: its own */
	stream_put_u64(s, OP_SET_OPTIONS);
	stream_put_u64(s, o->keep_failed);
	stream_put_u64(s, o->keep_going);
	stream_put_u64(s, o->fallback);
	stream_put_u64(s, 1); /* verbosity */
	stream_put_u64(s, 1); /* offload, if the daemon can */
	stream_put_u64(s, 0); /* build verbosity: all that builders print */
	stream_put_u64(s, 0); /* log type */
	stream_put_u64(s, 1); /* trace lines */
	stream_put_u64(s, !o->no_substitutes);
	stream_put_u64(s, 5 + (o->timeout ? 1 : 0) + (o->max_silent ? 1 : 0) +
				  (o->substitute_urls ? 1 : 0));
	put_pair_u64(c, "build-max-jobs", jobs);
	put_pair_u64(c, "build-cores", cores);
	put_pair_u64(c, PROTO_PAIR_PLAN, 1);
	put_pair_u64(c, PROTO_PAIR_BUSY, o->busy);
	stream_put_cstr(s, "multiplexed-build-output");
	stream_put_cstr(s, "true");
	if (o->timeout)
		put_pair_u64(c, "build-timeout", o->timeout);
	if (o->max_silent)
		put_pair_u64(c, "build-max-silent-time", o->max_silent);
	if (o->substitute_urls) {
		stream_put_cstr(s, "substitute-urls");
		stream_put_cstr(s, o->substitute_urls);
	}
	int r = finish(c, e);
	c->options_sent = r == 0;
	return r;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static int greet(struct store_conn *c, struct err *e)
{
	struct stream *s = &c->s;
	stream_put_u64(s, PROTO_MAGIC_CLIENT);
	(void)stream_flush(s); /* sticks in s->err */
	uint64_t magic = stream_u64(s);
	uint64_t version = stream_u64(s);
	if (s->err)
		return broken(c, e);
	if (magic != PROTO_MAGIC_SERVER || PROTO_MAJOR(version) != PROTO_MAJOR(VERSION))
		return name_remote(
			c, err_set(e, -ERR_PROTO, "the other side is no build daemon we know"), e);
	stream_put_u64(s, VERSION);
	stream_put_u64(s, 0); /* no processor wanted */
	stream_put_u64(s, 0); /* no space reserved */
	return finish(c, e);
}

static int open_conn(struct store_conn *c, const struct store_opts *opts, struct err *e)
{
	c->opts = *opts;
	c->store_dir = arena_str(&c->a, opts->store_dir ? opts->store_dir : STORE_DIR_DEFAULT);
	c->state_dir = arena_str(&c->a, opts->state_dir ? opts->state_dir : STORE_STATE_DEFAULT);
	c->log_dir = arena_str(&c->a, STORE_LOG_DEFAULT);
	if (!c->store_dir || !c->state_dir || !c->log_dir)
		return err_set(e, -ENOMEM, "out of memory");
	if (c->store_dir[0] != '/' || c->state_dir[0] != '/')
		return err_set(e, -ERR_USAGE, "store and state directory must be absolute paths");
	int fd;
	int r = opts->remote  ? find_remote(c, &fd, e)
		: opts->fresh ? find_fresh(c, &fd, e)
			      : find_store(c, &fd, e);
	if (r)
		return r;
	r = stream_init(&c->s, fd);
	if (r)
		return err_set(e, r, "out of memory");
	return greet(c, e);
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

/* ---- Queries --------------------------------------------------------------------------------- */

int store_is_valid(struct store_conn *c, const char *path, bool *ret, struct err *e)
{
	int r = ask_path(c, OP_IS_VALID, path, e);
	if (r)
		return r;
	bool valid = stream_bool(&c->s);
	r = done(c, e);
	if (!r)
		*ret = valid;
	return r;
}

/* The protocol has one status for all errors: tell "not valid" apart by asking. */
static int name_invalid(struct store_conn *c, const char *path, int code, struct err *e)
{
	bool valid;
	if (code != -ERR_REMOTE || store_is_valid(c, path, &valid, NULL) || valid)
		return code;
	return name_remote(c, err_set(e, -ERR_NOTVALID, "path `%s' is not valid", path), e);
}

int store_info(struct store_conn *c, struct arena *a, const char *path, struct store_info **ret,
	       struct err *e)
{
	int r = ask_path(c, OP_PATH_INFO, path, e);
	if (r)
		return name_invalid(c, path, r, e);
	struct store_info *info = ARENA_NEW(a, struct store_info);
	auto_vec struct vec refs = VEC_INIT;
	char *deriver = stream_cstr(&c->s, a, PROTO_LIMIT_PATH);
	char *hash = stream_cstr(&c->s, a, PROTO_LIMIT_PATH);
	stream_list(&c->s, a, &refs);
	uint64_t when = stream_u64(&c->s);
	uint64_t size = stream_u64(&c->s);
	r = done(c, e);
	if (r)
		return r;
	vec_sort_str(&refs);
	struct digest d;
	if (digest_parse(DIGEST_SHA256, slice_of(hash), &d))
		return err_set(e, -ERR_PROTO, "the build daemon sent a malformed hash");
	const char **v = arena_dup(a, refs.v, refs.n * sizeof(void *));
	char *name = arena_str(a, path);
	if (!info || !v || !name)
		return err_set(e, -ENOMEM, "out of memory");
	*info = (struct store_info){ .path = name,
				     .deriver = deriver,
				     .nar_hash = d,
				     .nar_size = size,
				     .registered = when,
				     .refs = v,
				     .nrefs = refs.n };
	*ret = info;
	return 0;
}

int store_valid_subset(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		       struct vec *ret, struct err *e)
{
	int r = begin(c, OP_VALID_PATHS, e);
	if (r)
		return r;
	put_strings(c, paths, n);
	r = finish(c, e);
	if (r)
		return r;
	stream_list(&c->s, a, ret);
	vec_sort_str(ret);
	return done(c, e);
}

int store_referrers(struct store_conn *c, struct arena *a, const char *path, struct vec *ret,
		    struct err *e)
{
	return ask_list(c, a, OP_REFERRERS, path, ret, e);
}

int store_confirm(struct store_conn *c, const char *const *paths, size_t n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	bool valid = true;
	/* A question about everything makes the daemon end what is pending, and fail with it. */
	int r = n ? store_referrers(c, &a, paths[n - 1], &v, e) : 0;
	for (size_t i = 0; !r && i < n; i++) {
		r = store_is_valid(c, paths[i], &valid, e);
		if (!r && !valid)
			r = err_set(e, -ERR_REMOTE, "path `%s' was added and is not valid",
				    paths[i]);
	}
	return r;
}

int store_derivers(struct store_conn *c, struct arena *a, const char *path, struct vec *ret,
		   struct err *e)
{
	return ask_list(c, a, OP_VALID_DERIVERS, path, ret, e);
}

int store_failures(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e)
{
	return ask_all(c, a, OP_FAILED_PATHS, ret, e);
}

int store_failures_forget(struct store_conn *c, const char *const *paths, size_t n, struct err *e)
{
	int r = begin(c, OP_CLEAR_FAILED, e);
	if (r)
		return r;
	put_strings(c, paths, n);
	r = finish(c, e);
	if (!r)
		(void)stream_u64(&c->s);
	return r ? r : done(c, e);
}

int store_drv_outputs(struct store_conn *c, struct arena *a, const char *drv, struct vec *ret,
		      struct err *e)
{
	return name_invalid(c, drv, ask_list(c, a, OP_DRV_OUTPUTS, drv, ret, e), e);
}

int store_all_valid(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e)
{
	int r = ask_all(c, a, OP_ALL_VALID, ret, e);
	if (!r)
		vec_sort_str(ret);
	return r;
}

static int closure_add(struct tab *seen, struct vec *ret, char *path, struct err *e)
{
	bool fresh;
	if (!tab_put(seen, slice_of(path), &fresh))
		return err_set(e, -ENOMEM, "out of memory");
	if (fresh)
		vec_add(ret, path);
	return ret->err ? err_set(e, ret->err, "out of memory") : 0;
}

/* Answers to questions that were sent already, after one of them was an error. */
static void closure_drain(struct store_conn *c, size_t n)
{
	for (; n && !c->s.err; n--) {
		auto_arena struct arena a = ARENA_INIT;
		auto_vec struct vec refs = VEC_INIT;
		if (finish(c, NULL) == 0)
			stream_list(&c->s, &a, &refs);
	}
}

/* What the paths in ret from the n-th on refer to, appended to it, and so on. Questions go out in
 * batches, so that neither side waits for the other between two of them. */
static int closure_walk(struct store_conn *c, struct arena *a, size_t n, struct tab *seen,
			struct vec *ret, struct err *e)
{
	int r = 0;
	for (size_t asked = n; !r && n < ret->n; n++) {
		auto_vec struct vec refs = VEC_INIT;
		if (asked == n)
			for (; !r && asked < ret->n && asked - n < AHEAD; asked++) {
				r = begin(c, OP_REFERENCES, e);
				stream_put_cstr(&c->s, ret->v[asked]);
			}
		if (!r)
			r = finish(c, e);
		if (!r) {
			stream_list(&c->s, a, &refs);
			r = done(c, e);
		}
		for (size_t k = 0; !r && k < refs.n; k++)
			r = closure_add(seen, ret, refs.v[k], e);
		if (r) {
			closure_drain(c, asked - n - 1);
			return name_invalid(c, ret->v[n], r, e);
		}
	}
	return r;
}

int store_closure(struct store_conn *c, struct arena *a, const char *const *paths, size_t n,
		  struct vec *ret, struct err *e)
{
	auto_tab struct tab seen = TAB_INIT;
	size_t start = ret->n;
	int r = 0;
	for (size_t i = 0; !r && i < n; i++) {
		char *path = arena_str(a, paths[i]);
		r = path ? closure_add(&seen, ret, path, e) : err_set(e, -ENOMEM, "out of memory");
	}
	if (!r)
		r = closure_walk(c, a, start, &seen, ret, e);
	vec_sort_str(ret);
	return r;
}

/* ---- Adding ---------------------------------------------------------------------------------- */

static int reply_path(struct store_conn *c, struct arena *a, char **ret, struct err *e)
{
	int r = finish(c, e);
	if (r)
		return r;
	char *path = stream_cstr(&c->s, a, PROTO_LIMIT_PATH);
	r = done(c, e);
	if (!r)
		*ret = path;
	return r;
}

int store_by_hash_part(struct store_conn *c, struct arena *a, const char *part, char **ret,
		       struct err *e)
{
	char *path;
	int r = begin(c, OP_FROM_HASH_PART, e);
	if (r)
		return r;
	stream_put_cstr(&c->s, part);
	r = reply_path(c, a, &path, e);
	if (!r && !*path)
		return err_set(e, -ERR_NOTFOUND, "no valid path begins with %s", part);
	if (!r)
		*ret = path;
	return r;
}

int store_add_text(struct store_conn *c, struct arena *a, const char *name, struct slice contents,
		   const char *const *refs, size_t nrefs, char **ret, struct err *e)
{
	int r = begin(c, OP_ADD_TEXT, e);
	if (r)
		return r;
	stream_put_cstr(&c->s, name);
	stream_put_str(&c->s, contents);
	put_strings(c, refs, nrefs);
	return reply_path(c, a, ret, e);
}

int store_add_tree(struct store_conn *c, struct arena *a, const char *name, int dirfd,
		   const char *path, bool recursive, enum digest_algo algo, nar_filter_fn *filter,
		   void *arg, char **ret, struct err *e)
{
	int r = store_name_check(slice_of(name), e);
	if (!r)
		r = begin(c, OP_ADD_TO_STORE, e);
	if (r)
		return r;
	auto_arena struct arena tmp = ARENA_INIT;
	struct nar_sink *sink = stream_sink(&c->s, &tmp);
	if (!sink)
		return err_set(e, -ENOMEM, "out of memory");
	stream_put_cstr(&c->s, name);
	stream_put_u64(&c->s, 1); /* "fixed": algorithm and form count */
	stream_put_u64(&c->s, recursive);
	stream_put_cstr(&c->s, digest_name(algo));
	r = nar_dump(dirfd, path, filter, arg, sink, e);
	if (r && !c->s.err) /* half a NAR is in the stream: nothing can follow it */
		c->s.err = -EPIPE;
	else if (r && (c->s.err == -EPIPE || c->s.err == -ECONNRESET))
		r = finish(c, e);
	return r ? r : reply_path(c, a, ret, e);
}

int store_build(struct store_conn *c, const char *const *things, size_t n, struct err *e)
{
	struct progress_opts po = { .quiet = c->opts.quiet,
				    .verbose = c->opts.verbose,
				    .raw = c->opts.raw,
				    .root = c->root };
	int r = begin(c, OP_BUILD_PATHS, e);
	if (r)
		return r;
	put_strings(c, things, n);
	stream_put_u64(&c->s, c->opts.check    ? PROTO_BUILD_CHECK
			      : c->opts.repair ? PROTO_BUILD_REPAIR
					       : PROTO_BUILD_NORMAL);
	c->progress = progress_new(&po);
	r = finish(c, e);
	progress_free(c->progress);
	c->progress = NULL;
	if (r)
		return r;
	(void)stream_u64(&c->s);
	return done(c, e);
}

/* ---- Roots and upkeep ------------------------------------------------------------------------ */

int store_add_temp_root(struct store_conn *c, const char *path, struct err *e)
{
	int r = ask_path(c, OP_ADD_TEMP_ROOT, path, e);
	if (r)
		return r;
	(void)stream_u64(&c->s);
	return done(c, e);
}

/* The item's row must not be lost while a link on the disk holds the item. */
static int settle(struct store_conn *c, struct err *e)
{
	int r = begin(c, OP_SYNC_WITH_GC, e);
	if (!r)
		r = finish(c, e);
	if (r)
		return r;
	(void)stream_u64(&c->s);
	return done(c, e);
}

int store_add_root(struct store_conn *c, const char *link, const char *item, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *target = store_conn_physical(c, &a, item);
	char *path = absolute(&a, link);
	if (!target || !path)
		return err_set(e, -ENOMEM, "out of memory");
	int r = store_add_temp_root(c, item, e);
	if (!r)
		r = settle(c, e);
	if (!r)
		r = file_symlink_atomic(AT_FDCWD, target, path, e);
	if (!r)
		r = ask_path(c, OP_ADD_INDIRECT_ROOT, path, e);
	if (r)
		return r;
	(void)stream_u64(&c->s);
	return done(c, e);
}

int store_verify(struct store_conn *c, bool contents, bool repair, uint64_t *ret_errors,
		 struct err *e)
{
	int r = begin(c, OP_VERIFY, e);
	if (r)
		return r;
	stream_put_u64(&c->s, contents);
	stream_put_u64(&c->s, repair);
	struct progress_opts po = { .quiet = c->opts.quiet,
				    .root = c->root,
				    .what = contents ? "reading the store" : "checking the store" };
	c->progress = progress_new(&po); /* prints what was found */
	r = finish(c, e);
	progress_free(c->progress);
	c->progress = NULL;
	if (r)
		return r;
	*ret_errors = stream_u64(&c->s);
	return done(c, e);
}

int store_gc(struct store_conn *c, struct arena *a, enum store_gc action, const char *const *paths,
	     size_t n, uint64_t max_freed, struct vec *ret_paths, uint64_t *ret_bytes,
	     struct err *e)
{
	int r = begin(c, OP_COLLECT_GARBAGE, e);
	if (r)
		return r;
	stream_put_u64(&c->s, action);
	put_strings(c, paths, n);
	stream_put_u64(&c->s, 0); /* liveness counts */
	stream_put_u64(&c->s, max_freed);
	for (int i = 0; i < 3; i++)
		stream_put_u64(&c->s, 0);
	struct progress_opts po = { .quiet = c->opts.quiet,
				    .what = "collecting garbage",
				    .mute = true }; /* the paths come with the answer */
	c->progress = progress_new(&po);
	r = finish(c, e);
	progress_free(c->progress);
	c->progress = NULL;
	if (r)
		return r;
	stream_list(&c->s, a, ret_paths);
	*ret_bytes = stream_u64(&c->s);
	(void)stream_u64(&c->s);
	return done(c, e);
}

int store_roots(struct store_conn *c, struct arena *a, struct vec *ret, struct err *e)
{
	int r = begin(c, OP_FIND_ROOTS, e);
	if (!r)
		r = finish(c, e);
	if (r)
		return r;
	uint64_t n = stream_max(&c->s, PROTO_LIMIT_LIST);
	for (uint64_t i = 0; i < n && !c->s.err; i++) {
		vec_add(ret, stream_cstr(&c->s, a, PROTO_LIMIT_PATH));
		vec_add(ret, stream_cstr(&c->s, a, PROTO_LIMIT_PATH));
	}
	return done(c, e);
}

/* ---- Bundles --------------------------------------------------------------------------------- */

int client_export_begin(struct store_conn *c, const char *path, bool sign, struct err *e)
{
	int r = begin(c, OP_EXPORT_PATH, e);
	if (r)
		return r;
	stream_put_cstr(&c->s, path);
	stream_put_u64(&c->s, sign);
	return stream_flush(&c->s) ? broken(c, e) : 0;
}

/* The next piece of an export; an empty one at its end. */
static int next_piece(struct store_conn *c, struct err *e)
{
	struct stream *s = &c->s;
	auto_arena struct arena a = ARENA_INIT;
	str_cut(&c->got, 0);
	c->got_at = 0;
	for (;;) {
		uint64_t tag = stream_u64(s);
		if (tag == PROTO_LAST) {
			(void)stream_u64(s);
			return done(c, e);
		}
		if (tag == PROTO_ERROR)
			return read_error(c, e);
		if (tag != PROTO_NEXT && tag != PROTO_WRITE && !s->err)
			s->err = -ERR_PROTO;
		struct slice text = stream_str(s, &a, PROTO_LIMIT_TEXT);
		if (s->err)
			return broken(c, e);
		if (tag == PROTO_WRITE && text.n) {
			str_addn(&c->got, text.p, text.n);
			return str_err(&c->got) ? err_set(e, -ENOMEM, "out of memory") : 0;
		}
	}
}

int client_export_read(struct store_conn *c, void *p, size_t n, size_t *ret, struct err *e)
{
	int r = c->got_at < c->got.len ? 0 : next_piece(c, e);
	if (r)
		return r;
	*ret = MIN_OF(n, c->got.len - c->got_at);
	memcpy(p, c->got.buf + c->got_at, *ret);
	c->got_at += *ret;
	return 0;
}

int client_import(struct store_conn *c, struct arena *a, client_feed_fn *feed, void *arg,
		  struct vec *ret_paths, struct err *e)
{
	int r = begin(c, OP_IMPORT_PATHS, e);
	if (r)
		return r;
	c->feed = feed;
	c->feed_arg = arg;
	r = finish(c, e);
	c->feed = NULL;
	if (r)
		return r;
	stream_list(&c->s, a, ret_paths);
	return done(c, e);
}
