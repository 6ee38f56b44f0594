/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Getting one substitute. A worker, which has our rights and holds the lock of the path, unpacks,
 * hashes and registers what a fetcher writes to a pipe; the fetcher has no rights, and is the one
 * that talks to the network and decompresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/build/transfer.h"
#include "store/build/helper.h"
#include "store/kernel.h"
#include "store/limits.h"
#include "store/build/sandbox.h"
#include "store/subst/subst.h"
#include "store/testing.h"

#define FILES_MAX    128
#define LINE_MAX_OUT 4096
#define PROGRESS_NS  (250ull * 1000000)
#define OUT_FD	     3

/* ---- Children without rights ----------------------------------------------------------------- */

static int set_limit(int what, rlim_t n)
{
	struct rlimit l = { n, n };

	return setrlimit(what, &l) < 0 ? -errno : 0;
}

struct job {
	int (*fn)(void *arg, int out);
	void *arg;
};

static void run_job(void *arg)
{
	const struct job *j = arg;

	if (set_limit(RLIMIT_DATA, LIMIT_UNPACK_MEMORY) || set_limit(RLIMIT_FSIZE, 0) ||
	    set_limit(RLIMIT_CORE, 0) || set_limit(RLIMIT_NOFILE, FILES_MAX))
		_exit(1);
	_exit(j->fn(j->arg, OUT_FD));
}

/* What a child sees: as downloads do, and the caches that are directories. */
static void list_paths(const struct subst_cage *c, const char *paths[HELPER_PATHS_MAX])
{
	const char *own[LIMIT_SUBST_URLS + 2] = { NULL };
	size_t n = 0;

	for (size_t i = 0; i < c->urls.n && n < LIMIT_SUBST_URLS; i++)
		if (!strncmp(c->urls.v[i], "file:///", 8))
			own[n++] = (const char *)c->urls.v[i] + 7;
	own[n] = getenv("SSL_CERT_FILE");
	helper_add_paths(paths, own);
	helper_add_paths(paths, helper_system_paths);
	helper_add_paths(paths, helper_network_paths);
}

static int start_helper(const struct subst_cage *c, const int fds[4], struct job *j,
			struct proc *ret, struct err *e)
{
	auto_str struct str resolv = STR_INIT;
	const struct build_id *id = c->id;
	const char *paths[HELPER_PATHS_MAX] = { NULL };
	struct filter_prog filter;
	int r = filter_download(&filter, e);

	if (r < 0)
		return r;
	list_paths(c, paths);
	helper_read_resolv(&resolv);
	const struct helper_file files[] = { { "/etc/resolv.conf", resolv.buf }, { NULL, NULL } };
	struct helper h = { .id = { SANDBOX_UID, SANDBOX_GID, id->uid, id->gid, id->lock >= 0 },
			    .root = c->root,
			    .paths = paths,
			    .files = files,
			    .fds = fds,
			    .nfds = 4,
			    .filter = &filter,
			    .run = run_job,
			    .arg = j };
	return helper_start(&h, ret, e);
}

int subst_cage_init(struct subst_cage *c, const struct session *s, const struct build_id *id,
		    struct err *e)
{
	*c = (struct subst_cage){ .id = id,
				  .root = s->l->state_fd,
				  .patience = testing_patience(s->l, 0) };
	return subst_urls(s, &c->a, &c->urls, e);
}

void subst_cage_done(struct subst_cage *c)
{
	vec_done(&c->urls);
	arena_done(&c->a);
}

int subst_fork(const struct subst_cage *c, int log, int (*fn)(void *arg, int out), void *arg,
	       struct proc *ret, int *ret_out, struct err *e)
{
	struct job j = { fn, arg };
	auto_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int p[2], r;

	if (null < 0 || pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	const int fds[4] = { null, log < 0 ? null : log, log < 0 ? null : log, p[1] };
	r = start_helper(c, fds, &j, ret, e);
	close(p[1]);
	if (r < 0)
		close(p[0]);
	else
		*ret_out = p[0];
	return r;
}

/* ---- The fetcher ----------------------------------------------------------------------------- */

struct fetcher {
	struct zip_input in;
	struct transfer_stream *stream;
	const struct subst_item *item;
	const struct subst_file *file;
	bool quiet;    /* only what goes wrong is told */
	long patience; /* seconds; 0: the usual */
	uint64_t got, told;
};

static ssize_t fetcher_read(struct zip_input *in, void *p, size_t n, struct err *e)
{
	struct fetcher *f = CONTAINER_OF(in, struct fetcher, in);
	ssize_t got = transfer_stream_read(f->stream, p, n, e);
	uint64_t now = loop_now();

	f->got += got > 0 ? (uint64_t)got : 0;
	if (got > 0 && !f->quiet && now - f->told > PROGRESS_NS) {
		f->told = now;
		helper_say("@ download-progress %s %s %llu %llu", f->item->info.path, f->file->url,
			   (unsigned long long)f->item->download, (unsigned long long)f->got);
	}
	return got;
}

/* The archive, which is as long as was signed and no byte longer. */
static int copy_archive(struct unzipper *u, uint64_t left, int out, struct err *e)
{
	static char buf[64 << 10];
	ssize_t n;

	while ((n = unzip_read(u, buf, sizeof(buf), e)) > 0) {
		if ((uint64_t)n > left)
			return err_set(e, -ERR_LIMIT, "the archive is longer than it should be");
		if (fd_write_full(out, buf, (size_t)n) < 0)
			return err_set(e, -EPIPE, "the archive is not wanted any more");
		left -= (uint64_t)n;
	}
	if (n < 0)
		return (int)n;
	return left ? err_set(e, -ERR_FETCH, "the archive is cut short") : 0;
}

static int fetch_child(void *arg, int out)
{
	struct fetcher *f = arg;
	struct unzipper *u = NULL;
	struct err e = ERR_INIT;

	if (f->patience)
		transfer_set_patience(f->patience);
	int r = transfer_stream_open(f->file->url, f->file->limit, &f->stream, &e);

	f->in.read = fetcher_read;
	f->told = loop_now();
	if (r == 0)
		r = unzip_open(&f->in, f->file->kind, &u, &e);
	if (r == 0)
		r = copy_archive(u, f->item->info.nar_size, out, &e);
	if (r < 0 && r != -EPIPE)
		helper_say("substitute %s: %s", f->file->url, e.msg);
	return r < 0 ? 1 : 0;
}

/* ---- Its archive ----------------------------------------------------------------------------- */

static int pipe_read(struct nar_source *src, void *p, size_t n, struct err *e)
{
	struct subst_archive *a = CONTAINER_OF(src, struct subst_archive, source);
	int r;

	if (n > a->left)
		return err_set(e, -ERR_LIMIT, "the archive is longer than it should be");
	r = fd_read_full(a->fd, p, n);
	a->left -= n;
	return r == -ENODATA ? err_set(e, -ERR_FETCH, "the archive is cut short")
	       : r < 0	     ? err_num(e, r, "cannot read the archive")
			     : 0;
}

int subst_archive_open(const struct subst_cage *c, const struct subst_item *item,
		       const struct subst_file *file, int log, bool quiet,
		       struct subst_archive *ret, struct err *e)
{
	struct fetcher f = { .item = item, .file = file, .quiet = quiet, .patience = c->patience };

	*ret = (struct subst_archive){ .source = { pipe_read }, .left = item->info.nar_size };
	return subst_fork(c, log, fetch_child, &f, &ret->child, &ret->fd, e);
}

void subst_archive_close(struct subst_archive *a)
{
	int status;

	fd_close(&a->fd);
	(void)proc_kill(&a->child,
			SIGKILL); /* of no use any more: a server could hold it for long */
	(void)proc_wait(&a->child, &status);
}

/* ---- The worker ------------------------------------------------------------------------------ */

static int try_file(struct session *s, const struct subst_item *item, const struct subst_file *file,
		    const struct subst_cage *c, struct err *e)
{
	struct subst_archive from;
	int r;

	helper_say("@ download-started %s %s %llu", item->info.path, file->url,
		   (unsigned long long)item->download);
	r = subst_archive_open(c, item, file, 1, false, &from, e);
	if (r < 0)
		return r;
	r = item->mend ? local_mend(s->l, &item->info, &from.source, e)
		       : local_add_known(s->l, &item->info, &from.source, e);
	if (r == 0 && from.left)
		r = err_set(e, -ERR_INTERNAL, "an archive was taken that is too short");
	subst_archive_close(&from);
	if (r == 0)
		helper_say("@ download-succeeded %s %s %llu", item->info.path, file->url,
			   (unsigned long long)item->download);
	return r;
}

/* The files in turn; each failure is told. */
static int try_files(struct session *s, const struct subst_item *item, const struct build_id *id,
		     struct err *e)
{
	struct subst_cage c;
	struct err why = ERR_INIT;
	int r = subst_cage_init(&c, s, id, &why);
	bool over = r < 0;

	for (size_t i = 0; !over && i < item->nfiles; i++) {
		why = (struct err)ERR_INIT;
		r = try_file(s, item, &item->files[i], &c, &why);
		if (r < 0)
			helper_say("substitute %s: %s", item->files[i].url, why.msg);
		over = r == 0 || why.code == -ENOSPC || why.code == -EDQUOT;
	}
	subst_cage_done(&c);
	return r < 0 ? err_set(e, r, "%s", why.msg) : 0;
}

/* Whether there is something to do, with the lock of the path held. */
static int is_needed(struct session *s, const struct subst_item *item, bool *ret, struct err *e)
{
	const char *path = item->info.path;
	bool fine = false;
	int r = item->mend ? local_is_good(s->l, path, &fine, e)
			   : local_is_valid(s->l, path, &fine, e);

	*ret = !fine;
	return r;
}

static int work(struct session *s, const struct subst_item *item, const struct build_id *id,
		struct err *e)
{
	struct local_locks locks = LOCAL_LOCKS_INIT;
	const char *path = item->info.path;
	bool needed = false;
	int r = local_lock_paths(s->l, &path, 1, true, &locks, e);

	if (r == 0)
		r = is_needed(s, item, &needed, e);
	if (r == 0 && needed)
		r = try_files(s, item, id, e);
	local_unlock(s->l, &locks, true);
	return r;
}

static void worker_main(struct session *s, const struct subst_item *item, const struct build_id *id,
			int log, pid_t parent)
{
	struct err e = ERR_INIT;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	if (getppid() != parent || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(1);
	fd_close(&s->stream.fd); /* the client must see our parent's end, not ours */
	local_forked(s->l);
	r = work(s, item, id, &e);
	if (r < 0)
		helper_say("%s", e.msg);
	local_close(s->l);
	_exit(r < 0 ? 1 : 0);
}

int subst_start(struct session *s, struct subst_item *item, const struct build_id *id,
		struct err *e)
{
	pid_t parent = getpid(), pid;
	int p[2], pidfd = -1;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	pid = kernel_fork(0, &pidfd);
	if (pid == 0)
		worker_main(s, item, id, p[1], parent);
	close(p[1]);
	if (pid < 0) {
		close(p[0]);
		return err_sys(e, "cannot fork");
	}
	item->log = p[0];
	item->proc = (struct proc){ pid, pidfd };
	session_trace(s, "substituter-started %s substitute", item->info.path);
	return 0;
}

/* ---- What the worker says -------------------------------------------------------------------- */

/* The worker has read what strangers wrote; the client's terminal does not have to. */
static void pass_line(struct session *s, struct slice line)
{
	struct str safe = STR_INIT;

	text_safe(&safe, line);
	if (!slice_starts(str_slice(&safe), "@ "))
		session_say(s, "%s", safe.buf ? safe.buf : "");
	else if (s->trace)
		session_trace(s, "%s", safe.buf + 2);
	str_done(&safe);
}

bool subst_output(struct session *s, struct subst_item *item)
{
	char *room = str_room(&item->line, LINE_MAX_OUT);
	ssize_t n = room ? fd_read_some(item->log, room, LINE_MAX_OUT) : 0;
	const char *end;

	if (n > 0)
		str_grown(&item->line, (size_t)n);
	while ((end = memchr(item->line.buf, '\n', item->line.len))) {
		size_t len = (size_t)(end - item->line.buf);

		pass_line(s, (struct slice){ item->line.buf, len });
		str_drop(&item->line, len + 1);
	}
	if (item->line.len >= LINE_MAX_OUT)
		str_cut(&item->line, 0); /* nothing of ours is that long */
	if (n <= 0)
		fd_close(&item->log);
	return n > 0;
}

static void end_item(struct subst_item *item, int *ret_status)
{
	(void)proc_wait(&item->proc, ret_status);
	fd_close(&item->log);
	str_done(&item->line);
}

int subst_finish(struct session *s, struct subst_item *item, struct err *e)
{
	const char *path = item->info.path;
	char text[64];
	int status = -1;

	while (item->log >= 0 && subst_output(s, item))
		;
	end_item(item, &status);
	if (status == 0) {
		session_trace(s, "substituter-succeeded %s", path);
		return 0;
	}
	proc_status_text(status, text);
	session_trace(s, "substituter-failed %s %d fetching path `%s' failed with %s", path,
		      status >> 8 & 255, path, text);
	return err_set(e, -ERR_FETCH, "fetching path `%s' failed", path);
}

void subst_abort(struct subst_item *item)
{
	int status;

	if (item->proc.pid <= 0)
		return;
	(void)proc_kill(&item->proc, SIGKILL); /* its children die with it */
	end_item(item, &status);
}
