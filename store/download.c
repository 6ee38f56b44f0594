/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/download.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/fetch.h"
#include "store/kernel.h"
#include "store/scheme.h"

struct job {
	struct arena a;
	struct fetch f;
	struct digest want;
	bool recursive; /* the hash is of a NAR: only the file system can tell */
	const char *item;
};

/* ---- Reading the derivation ------------------------------------------------------------------ */

static int read_hash(const struct drv *d, struct job *j, struct err *e)
{
	if (d->noutputs != 1 || !d->outputs[0].algo[0])
		return err_set(e, -ERR_BUILD, "builtin:download needs one output with a hash");
	struct slice algo = slice_of(d->outputs[0].algo);
	j->recursive = slice_starts(algo, "r:");
	if (j->recursive) {
		algo.p += 2;
		algo.n -= 2;
	}
	enum digest_algo id;
	if (digest_algo_parse(algo, &id) ||
	    digest_parse(id, slice_of(d->outputs[0].hash), &j->want))
		return err_set(e, -ERR_BUILD, "the hash of `%s' is malformed", d->name);
	return 0;
}

static bool scheme_allowed(const char *url)
{
	static const char *const ok[] = { "http://", "https://", "ftp://", "mirror://" };
	for (size_t i = 0; i < ARRAY_LEN(ok); i++)
		if (strncmp(url, ok[i], strlen(ok[i])) == 0)
			return true;
	return false;
}

static int read_job(const struct download *d, struct job *j, struct err *e)
{
	bool found;
	struct slice url = drv_env(d->drv, "url", &found);
	if (!found)
		return err_set(e, -ERR_BUILD, "derivation `%s' has no `url'", d->drv->name);
	int r = read_hash(d->drv, j, e);
	if (r)
		return r;
	auto_vec struct vec urls = VEC_INIT;
	r = scheme_strings(&j->a, url, &urls, e);
	if (r)
		return err_wrap(e, r, "`url' of derivation `%s'", d->drv->name);
	for (size_t i = 0; i < urls.n; i++)
		if (!scheme_allowed(urls.v[i]))
			return err_set(e, -ERR_BUILD, "URL `%s' has a scheme that is not allowed",
				       (char *)urls.v[i]);
	const char **v = arena_dup(&j->a, urls.v, urls.n * sizeof(void *));
	if (!v)
		return err_set(e, -ENOMEM, "out of memory");
	struct slice exec = drv_env(d->drv, "executable", &found);
	j->f = (struct fetch){ .urls = v,
			       .nurls = urls.n,
			       .want = &j->want,
			       .dirfd = d->dirfd,
			       .name = d->name,
			       .label = d->drv->name,
			       .nar = j->recursive,
			       .mode = found && slice_is(exec, "1") ? 0755 : 0644 };
	j->item = d->drv->outputs[0].path;
	return 0;
}

/* ---- The child ------------------------------------------------------------------------------- */

static void print_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void print_line(const char *fmt, ...)
{
	auto_str struct str s = STR_INIT;
	va_list ap;
	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	str_addc(&s, '\n');
	(void)fd_write_full(1, s.buf, s.len); /* the daemon is gone, and so will we be */
}

static void on_progress(void *arg, const char *url, uint64_t total, uint64_t done)
{
	struct job *j = arg;
	print_line("@ download-progress %s %s %llu %llu", j->item, url, (unsigned long long)total,
		   (unsigned long long)done);
}

/* Give up everything but the output directory. */
static int drop_rights(const struct download *d)
{
	if (geteuid() == 0 && d->uid != 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(d->gid, d->gid, d->gid) < 0 ||
	     setresuid(d->uid, d->uid, d->uid) < 0))
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

/* Keep the standard descriptors and the directory, as number 3. */
static int move_fds(const struct download *d, int null)
{
	if (dup2(null, 0) < 0 || dup2(d->log, 1) < 0 || dup2(d->log, 2) < 0 ||
	    dup2(d->dirfd, 3) < 0)
		return -errno;
	syscall(SYS_close_range, 4U, ~0U, 0U);
	return 0;
}

__attribute__((noreturn)) static void child_main(const struct download *d, struct job *j,
						 pid_t parent)
{
	struct err e = ERR_INIT;
	for (int i = 1; i < 32; i++)
		if (i != SIGKILL && i != SIGSTOP && i != SIGPIPE)
			signal(i, SIG_DFL);
	setsid();
	umask(022);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int r = null < 0 ? -errno : move_fds(d, null);
	if (!r)
		r = drop_rights(d);
	if (r || getppid() != parent)
		_exit(1);
	j->f.dirfd = 3;
	j->f.progress = on_progress;
	j->f.arg = j;
	print_line("@ download-started %s %s -", j->item, j->f.urls[0]);
	r = fetch_run(&j->f, &e);
	if (r)
		print_line("%s", e.msg);
	else
		print_line("@ download-succeeded %s %s -", j->item, j->f.urls[0]);
	_exit(r ? 1 : 0);
}

int download_start(const struct download *d, struct proc *ret, struct err *e)
{
	struct job j = { .a = ARENA_INIT };
	int r = read_job(d, &j, e);
	if (r) {
		arena_done(&j.a);
		return r;
	}
	pid_t parent = getpid();
	int pidfd = -1;
	pid_t pid = kernel_fork(0, &pidfd);
	if (pid == 0)
		child_main(d, &j, parent);
	if (pid < 0)
		r = err_sys(e, "cannot fork a download");
	else
		*ret = (struct proc){ pid, pidfd };
	arena_done(&j.a);
	return r;
}
