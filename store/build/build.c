/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/build.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/build/buildenv.h"
#include "store/format/buildid.h"
#include "store/build/buildlog.h"
#include "store/build/download.h"
#include "store/build/hosts.h"
#include "store/build/placeholder.h"
#include "store/remote/offload.h"
#include "store/local/outputs.h"
#include "store/build/sandbox.h"
#include "store/testing.h"

#define BUILTIN	       "builtin:"
#define MIRRORS_LIMIT  (1u << 20)
#define LOG_CHUNK      16384
#define LINE_MAX_BYTES 65536
#define LOW_SPACE      (8ull << 20)

static const char *tmp_name(const struct build *b)
{
	return local_base(b->s->l, b->drv_path);
}

static bool is_builtin(const struct build *b)
{
	return strncmp(b->drv->builder, BUILTIN, strlen(BUILTIN)) == 0;
}

/* What speaks is a child of ours, and what it says last is the reason of a failure. */
static bool is_ours(const struct build *b)
{
	return is_builtin(b) || b->machine;
}

/* A directory that belongs to the build user. */
static int make_dir(const struct build *b, int dirfd, const char *name, mode_t mode, int *ret,
		    struct err *e)
{
	if (mkdirat(dirfd, name, mode & 0755) < 0)
		return err_sys(e, "cannot make the build directory %s", name);
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "cannot open the build directory %s", name);
	if ((mode & ~0755U) && fchmod(fd, mode) < 0) /* beyond what the umask lets through */
		return err_sys(e, "cannot set the mode of the build directory %s", name);
	if (b->id.uid != geteuid() && fchown(fd, b->id.uid, b->id.gid) < 0)
		return err_sys(e, "cannot give away the build directory %s", name);
	*ret = fd_take(&fd);
	return 0;
}

static int make_dirs(struct build *b, int *ret_tree, struct err *e)
{
	struct local *l = b->s->l;
	int tmp;
	int r = workdir_make(&b->s->work, l, e);
	if (!r)
		r = local_tmp_dir(l, &tmp, e);
	if (r)
		return r;
	snprintf(b->tree, sizeof(b->tree), "guix-build-%.220s.drv-0", b->drv->name);
	r = make_dir(b, b->s->work.fd, tmp_name(b), 01777, &b->top, e);
	if (!r)
		r = make_dir(b, b->top, b->tree, 0700, ret_tree, e);
	if (r)
		return r;
	local_tmp_name(l, b->out_name);
	return make_dir(b, tmp, b->out_name, 0755, &b->out, e);
}

static int make_pipe(struct build *b, int *ret_write, struct err *e)
{
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	b->log = p[0];
	*ret_write = p[1];
	/* Builders open /dev/stderr by name, which asks for rights on the pipe itself. */
	if (b->id.uid != geteuid() && fchown(p[1], b->id.uid, b->id.gid) < 0)
		return err_sys(e, "cannot give away a pipe");
	int r = fd_set_nonblock(p[0], true);
	return r ? err_num(e, r, "cannot set up a pipe") : 0;
}

/* The table of mirrors that Guix's derivations of downloads name: a file among their inputs. */
static int read_mirrors(struct build *b, struct str *out, struct err *e)
{
	bool found;
	auto_arena struct arena a = ARENA_INIT;
	struct local *l = b->s->l;
	const char *path = arena_slice(&a, drv_env(b->drv, "mirrors", &found));
	if (!found || !path || !vec_has_str(b->inputs, path))
		return 0;
	auto_fd int fd = openat(l->store_fd, local_base(l, path),
				O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd_read_all(fd, out, MIRRORS_LIMIT);
	return r ? err_num(e, r, "cannot read the table of mirrors %s", path) : 0;
}

static int start_builtin(struct build *b, int write_end, struct err *e)
{
	const char *name = b->drv->builder + strlen(BUILTIN);
	bool nix = b->s->l->dialect == DIALECT_NIX;
	auto_str struct str mirrors = STR_INIT;
	bool is_git = !nix && strcmp(name, "git-download") == 0;
	if (!is_git && strcmp(name, nix ? "fetchurl" : "download") != 0)
		return err_set(e, -ERR_BUILD, "unsupported builtin function '%s'", name);
	int r = nix ? 0 : read_mirrors(b, &mirrors, e);
	if (r)
		return r;
	hosts_share();
	if (!b->s->hosts_loaded)
		hosts_load(b->s->l->state_fd);
	b->s->hosts_loaded = true;
	struct download d = { .drv = b->drv,
			      .id = { SANDBOX_UID, SANDBOX_GID, b->id.uid, b->id.gid,
				      b->id.lock >= 0 },
			      .root = b->s->work.fd,
			      .git = b->s->policy.git,
			      .is_git = is_git,
			      .plain = nix,
			      .mirrors = mirrors.len ? mirrors.buf : NULL,
			      .dirfd = b->out,
			      .name = local_base(b->s->l, b->drv->outputs[0].path),
			      .log = write_end };
	return download_start(&d, &b->proc, e);
}

static int start_away(struct build *b, int write_end, struct err *e)
{
	struct offload_job j = { .s = b->s,
				 .m = b->machine,
				 .drv_path = b->drv_path,
				 .drv = b->drv,
				 .inputs = b->inputs,
				 .dirfd = b->out,
				 .log = write_end };
	return offload_start(&j, &b->proc, e);
}

static bool system_ok(const char *system)
{
#if defined(__x86_64__)
	return strcmp(system, "x86_64-linux") == 0 || strcmp(system, "i686-linux") == 0;
#elif defined(__aarch64__)
	return strcmp(system, "aarch64-linux") == 0 || strcmp(system, "armhf-linux") == 0;
#elif defined(__riscv)
	return strcmp(system, "riscv64-linux") == 0;
#else
#error "name the system of this architecture"
#endif
}

/* The way out of the machine that builders of fixed outputs get, if the machine can give one. */
static bool prepare_net(struct build *b, char program[PATH_MAX], struct slirp *ret)
{
	struct session *s = b->s;
	struct cell_id id = { .uid = SANDBOX_UID, .gid = SANDBOX_GID };
	if (!drv_is_fixed(b->drv) || testing_without(s->l, "netns"))
		return false;
	int r = slirp_find(s->policy.slirp, program, &b->no_net);
	if (!r)
		r = buildid_take(NULL, &id.host_uid, &id.host_gid, &b->net_lock, &b->no_net);
	id.privileged = b->net_lock >= 0;
	*ret = (struct slirp){ .program = program,
			       .id = id,
			       .root = s->work.fd,
			       .isolate = s->policy.isolate,
			       .ipv6 = !r && slirp_find_ipv6(),
			       .helper = PROC_INIT };
	return r == 0;
}

static int check_system(const struct build *b, struct err *e)
{
	struct session *s = b->s;
	const char *system = b->drv->system;
	if (system_ok(system) || (s->policy.system && strcmp(system, s->policy.system) == 0))
		return 0;
	session_trace(s, "unsupported-platform %s %s", b->drv_path, system);
	return err_set(e, -ERR_BUILD, "a `%s' is required to build `%s'", system, b->drv_path);
}

/* What the sandbox is told in lists of its own: the builder's arguments, and names of the inputs
 * in the store; in a. */
static int list_words(const struct build *b, struct arena *a, struct sandbox *box, struct err *e)
{
	const struct drv *d = b->drv;
	const char **argv = arena_array(a, d->nargs + 2, sizeof(*argv));
	const char **bases = arena_array(a, b->inputs->n, sizeof(*bases));
	if (!argv || !bases)
		return err_set(e, -ENOMEM, "out of memory");
	argv[0] = path_base(d->builder);
	for (size_t i = 0; i < d->nargs; i++) {
		struct slice arg = d->args[i];
		if (b->s->l->dialect == DIALECT_NIX)
			arg = placeholder_fill(a, d, arg);
		argv[i + 1] = arg.p ? arena_slice(a, arg) : NULL;
	}
	for (size_t i = 0; i < b->inputs->n; i++)
		bases[i] = local_base(b->s->l, b->inputs->v[i]);
	box->argv = argv;
	box->inputs = bases;
	box->ninputs = b->inputs->n;
	return arena_err(a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* What the derivation asks for: files in its tree, variables, arguments; in a. */
static int prepare_words(const struct build *b, struct arena *a, int tree, const char *cwd,
			 struct sandbox *box, struct err *e)
{
	struct session *s = b->s;
	const struct drv *d = b->drv;
	int r = check_system(b, e);
	if (!r)
		r = buildenv_features(s, b->drv_path, d, e);
	if (!r)
		r = buildenv_files(s, d, b->inputs, tree, b->id.uid, b->id.gid, e);
	if (!r)
		r = buildenv_vars(s, a, d, cwd, &box->envp, e);
	return r ? r : list_words(b, a, box, e);
}

static int start_sandboxed(struct build *b, int tree, int write_end, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct session *s = b->s;
	const struct drv *d = b->drv;
	const char *build_dir = dialect_facts(s->l->dialect)->build_dir;
	char cwd[300];
	if (build_dir)
		snprintf(cwd, sizeof(cwd), "%s", build_dir);
	else
		snprintf(cwd, sizeof(cwd), "/tmp/%s", b->tree);
	struct sandbox box = {
		.host_uid = b->id.uid,
		.host_gid = b->id.gid,
		.privileged = b->id.lock >= 0,
		.store_dir = s->l->store_dir,
		.real_store = s->l->store_fd,
		.store = b->out,
		.tmp = b->top,
		.build_dir = build_dir,
		.tmp_name = b->tree,
		.root = s->work.fd,
		.cwd = cwd,
		.builder = d->builder,
		.system = d->system,
		.old_kernel = s->policy.old_kernel,
		.extra = s->policy.dirs,
		.log = write_end,
		.lock = b->id.lock,
		.host_net = drv_is_fixed(d) && testing_without(s->l, "netns"),
		.scoped = drv_is_fixed(d) && !testing_without(s->l, "scope"),
	};
	int r = prepare_words(b, &a, tree, cwd, &box, e);
	if (r)
		return r;
	char program[PATH_MAX];
	struct slirp net;
	bool online = prepare_net(b, program, &net);
	box.net = online ? &net : NULL;
	r = sandbox_start(&box, &b->proc, &b->end, e);
	if (online)
		b->net = net.helper;
	return r;
}

int build_start(struct build *b, struct err *e)
{
	struct session *s = b->s;
	b->proc = b->net = (struct proc)PROC_INIT;
	b->no_net = (struct err)ERR_INIT;
	b->log = b->net_lock = b->top = b->out = b->end = -1;
	b->said = (struct str)STR_INIT;
	b->line = (struct str)STR_INIT;
	b->log_bytes = 0;
	b->round++;
	b->id = (struct build_id){ .uid = geteuid(), .gid = getegid(), .lock = -1 };
	int r = b->machine ? 0 : session_take_id(s, &b->id, e);
	if (r)
		return r;
	b->have_id = !b->machine;
	auto_fd int tree = -1;
	auto_fd int write_end = -1;
	r = make_dirs(b, &tree, e);
	if (!r && !s->policy.lose_logs)
		r = buildlog_open(s->l, b->drv_path, s->policy.plain_logs, &b->file, e);
	if (!r)
		r = make_pipe(b, &write_end, e);
	if (r)
		return r;
	b->started = b->heard = loop_now();
	r = b->machine	    ? start_away(b, write_end, e)
	    : is_builtin(b) ? start_builtin(b, write_end, e)
			    : start_sandboxed(b, tree, write_end, e);
	if (r)
		return r;
	auto_str struct str log = STR_INIT;
	if (!s->policy.lose_logs)
		buildlog_path(s->l, b->drv_path, s->policy.plain_logs, &log);
	session_trace(s, "build-started %s - %s %s %d", b->drv_path, b->drv->system,
		      log.len ? log.buf : "", (int)b->proc.pid);
	return 0;
}

/* Children of ours end with one line that says why. */
static void keep_said(struct build *b, const char *p, size_t n)
{
	while (n && (p[n - 1] == '\n' || p[n - 1] == '\r'))
		n--;
	const char *line = n ? memrchr(p, '\n', n) : NULL;
	if (line) {
		n -= (size_t)(line + 1 - p);
		p = line + 1;
	}
	if (n && p[0] != '@' && n < sizeof(((struct err *)0)->msg)) {
		str_cut(&b->said, 0);
		str_addn(&b->said, p, n);
	}
}

/* Nix's clients print what comes in one message as a line: what has no end yet waits for it. */
static void forward_lines(struct build *b, const char *p, size_t n, bool end)
{
	const char *last = n ? memrchr(p, '\n', n) : NULL;
	size_t whole = last ? (size_t)(last - p) + 1 : 0;
	if (whole) {
		str_addn(&b->line, p, whole);
		p += whole;
		n -= whole;
	}
	if ((whole || end || b->line.len > LINE_MAX_BYTES) && b->line.len) {
		session_text(b->s, b->line.buf, b->line.len);
		str_cut(&b->line, 0);
	}
	str_addn(&b->line, p, n);
}

static void forward(struct build *b, const char *p, size_t n)
{
	struct session *s = b->s;
	if (s->verbosity < s->build_verbosity)
		return;
	if (s->dialect == DIALECT_NIX) {
		forward_lines(b, p, n, false);
		return;
	}
	if (!s->multiplexed) {
		session_text(s, p, n);
		return;
	}
	auto_str struct str text = STR_INIT;
	str_addf(&text, "@ build-log %d %zu\n", (int)b->proc.pid, n);
	str_addn(&text, p, n);
	if (!str_err(&text))
		session_text(s, text.buf, text.len);
}

int build_output(struct build *b, bool *ret_end, struct err *e)
{
	char buf[LOG_CHUNK];
	/* A few chunks at a time: one loud builder must not keep the others waiting. */
	for (unsigned i = 0; i < 8; i++) {
		ssize_t n = fd_read_some(b->log, buf, sizeof(buf));
		if (n == -EAGAIN)
			return 0;
		if (n <= 0) {
			*ret_end = true;
			return 0;
		}
		b->heard = loop_now();
		b->log_bytes += (size_t)n;
		buildlog_add(b->file, buf, (size_t)n);
		if (is_ours(b))
			keep_said(b, buf, (size_t)n);
		forward(b, buf, (size_t)n);
		if (b->s->policy.max_log && b->log_bytes > b->s->policy.max_log)
			return err_set(e, -ERR_BUILD, "`%s' wrote more than %llu bytes of output",
				       b->drv_path, (unsigned long long)b->s->policy.max_log);
	}
	return 0;
}

static int judge(struct build *b, int status, struct err *e)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	char text[64];
	if (b->machine && b->said.len && WIFEXITED(status))
		return err_set(e,
			       WEXITSTATUS(status) == OFFLOAD_UNREACHABLE ? -EHOSTUNREACH
			       : WEXITSTATUS(status) == OFFLOAD_TIMEOUT	  ? -ERR_TIMEOUT
									  : -ERR_BUILD,
			       "%s", b->said.buf);
	if (is_builtin(b) && b->said.len)
		return err_set(e, -ERR_FETCH, "%s", b->said.buf);
	if (WIFEXITED(status))
		snprintf(text, sizeof(text), "failed with exit code %d", WEXITSTATUS(status));
	else
		snprintf(text, sizeof(text), "failed due to signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	int r = err_set(e, -ERR_BUILD, "builder for `%s' %s", b->drv_path, text);
	struct statvfs v;
	b->disk_full = fstatvfs(b->top, &v) == 0 && (uint64_t)v.f_bavail * v.f_bsize < LOW_SPACE;
	if (b->disk_full)
		return err_hint(e, r, "the disk is nearly full");
	return b->no_net.code ? err_hint(e, r, "it had no network: %s", b->no_net.msg) : r;
}

int build_finish(struct build *b, struct err *e)
{
	int status = 0;
	int r = proc_wait(&b->proc, &status);
	if (r)
		return err_num(e, r, "cannot wait for the builder of `%s'", b->drv_path);
	status = sandbox_status(&b->end, status);
	bool end = false;
	while (!end && !r) { /* what is left in the pipe; nobody can write any more */
		uint64_t before = b->log_bytes;
		r = build_output(b, &end, e);
		if (b->log_bytes == before)
			break;
	}
	forward_lines(b, NULL, 0, true);
	int log = buildlog_close(b->file, r ? NULL : e);
	b->file = NULL;
	if (!r)
		r = log;
	if (!r)
		r = judge(b, status, e);
	return r ? r : outputs_take(b, e);
}

static void keep_tree(struct build *b)
{
	struct session *s = b->s;
	auto_str struct str where = STR_INIT;
	struct err e = ERR_INIT;
	bool give = b->id.lock >= 0 && s->client_uid != 0 && s->client_uid != (uid_t)-1;
	int r = workdir_keep(s->l, b->top, b->tree, b->id.uid, give ? s->client_uid : (uid_t)-1,
			     s->client_gid, &where, &e);
	if (r)
		session_say(s, "note: %s", e.msg);
	else
		session_say(s, "note: keeping build directory `%s'", where.buf);
}

/* Most builds leave these empty, which saves looking into them. What cannot be deleted is swept
 * when this process is gone. */
static void remove_tmp(struct build *b)
{
	int work = b->s->work.fd;
	(void)unlinkat(b->top, b->tree, AT_REMOVEDIR);
	fd_close(&b->top);
	if (unlinkat(work, tmp_name(b), AT_REMOVEDIR) < 0)
		(void)file_delete_tree(work, tmp_name(b), NULL, NULL);
}

/* The places where inputs were mounted are empty directories. */
static void remove_out(struct build *b)
{
	int tmp;
	for (size_t i = 0; i < b->inputs->n; i++)
		(void)unlinkat(b->out, local_base(b->s->l, b->inputs->v[i]), AT_REMOVEDIR);
	fd_close(&b->out);
	if (local_tmp_dir(b->s->l, &tmp, NULL) == 0 && unlinkat(tmp, b->out_name, AT_REMOVEDIR) < 0)
		(void)file_delete_tree(tmp, b->out_name, NULL, NULL);
}

static void clean_up(struct build *b, bool keep)
{
	struct session *s = b->s;
	if (b->proc.pid > 0)
		proc_end(&b->proc);
	if (b->net.pid > 0)
		proc_end(&b->net);
	fd_close(&b->net_lock);
	fd_close(&b->log);
	fd_close(&b->end);
	str_done(&b->said);
	str_done(&b->line);
	(void)buildlog_close(b->file, NULL); /* a log that cannot be written fails no build here */
	b->file = NULL;
	if (b->top >= 0) {
		if (keep)
			keep_tree(b);
		remove_tmp(b);
	}
	if (b->out >= 0)
		remove_out(b);
	if (b->have_id)
		session_put_id(s, &b->id);
	b->have_id = false;
}

int build_again(struct build *b, bool *ret, struct err *e)
{
	*ret = b->round < b->rounds;
	if (!*ret)
		return 0;
	clean_up(b, false);
	return build_start(b, e);
}

void build_done(struct build *b, bool keep)
{
	clean_up(b, keep);
	free(b->before);
	b->before = NULL;
}
