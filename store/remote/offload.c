/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/remote/offload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/size.h"
#include "store/remote/copy.h"
#include "store/format/nar.h"

#define DIR_NAME      "offload"
#define DOWN_SECONDS  60
#define NS_PER_SECOND 1000000000ull

/* ---- Which machine --------------------------------------------------------------------------- */

/* Take job number i of m. */
static int lock_job(struct session *s, const struct machine *m, uint64_t i, int *ret, struct err *e)
{
	char name[NAME_MAX + 1];
	if (mkdirat(s->l->state_fd, DIR_NAME, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make %s/" DIR_NAME, s->l->state_phys);
	snprintf(name, sizeof(name), DIR_NAME "/%.200s.%llu", m->name, (unsigned long long)i);
	auto_fd int fd =
		openat(s->l->state_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "cannot open %s/%s", s->l->state_phys, name);
	int r = fd_lock(fd, true, false);
	if (!r)
		*ret = fd_take(&fd);
	return r;
}

/* How many jobs of m are taken, and one that is not: *ret_lock -1 when all are. */
static int look_at(struct session *s, const struct machine *m, uint64_t *ret_load, int *ret_lock,
		   struct err *e)
{
	*ret_load = 0;
	*ret_lock = -1;
	for (uint64_t i = 0; i < m->max_jobs; i++) {
		int lock = -1;
		int r = lock_job(s, m, i, &lock, e);
		if (r && r != -EAGAIN)
			return r;
		*ret_load += r == -EAGAIN;
		if (!r && *ret_lock < 0)
			*ret_lock = lock;
		else
			fd_close(&lock);
	}
	return 0;
}

/* Whether a machine with this load is better than the other: fewer jobs for its speed, then speed.
 */
static bool is_better(const struct machine *m, uint64_t load, const struct machine *other,
		      uint64_t other_load)
{
	if (!other)
		return true;
	uint64_t a = load * other->speed, b = other_load * m->speed;
	return a < b || (a == b && m->speed > other->speed);
}

int offload_take(struct session *s, const struct drv *d, struct offload_place *ret, struct err *e)
{
	struct offload_place best = { NULL, -1 };
	uint64_t best_load = 0, now = loop_now();
	bool found, busy = false;
	struct slice local = drv_env(d, dialect_key_name(KEY_PREFER_LOCAL_BUILD), &found);
	*ret = best;
	if (s->l->dialect != DIALECT_GUIX) /* items of Nix's family are not exported yet */
		return 0;
	if (s->policy.no_offload || s->no_offload || (found && slice_is(local, "1")))
		return 0;
	int r = machines_load(&s->machines, s->l, e);
	for (struct machine *m = s->machines.first; !r && m; m = m->next) {
		struct offload_place p = { m, -1 };
		uint64_t load;
		if (m->down_until > now || !machine_fits(m, d))
			continue;
		r = look_at(s, m, &load, &p.lock, e);
		busy |= !r && p.lock < 0;
		if (!r && p.lock >= 0 && is_better(m, load, best.m, best_load)) {
			offload_put(&best);
			best = p;
			best_load = load;
		} else {
			offload_put(&p);
		}
	}
	if (r) {
		offload_put(&best);
		return r;
	}
	*ret = best;
	return !best.m && busy ? -EAGAIN : 0;
}

void offload_put(struct offload_place *p)
{
	fd_close(&p->lock);
	p->m = NULL;
}

void offload_avoid(struct offload_place *p)
{
	p->m->down_until = loop_now() + DOWN_SECONDS * NS_PER_SECOND;
}

/* ---- The child ------------------------------------------------------------------------------- */

struct conns {
	struct store_conn *here, *there;
};

/* The key that the machine must show, in a file of ssh's form. */
static int write_known(const struct offload_job *j, struct arena *a, struct store_opts *o,
		       struct err *e)
{
	char name[NAME_MAX + 1];
	if (!j->m->host_key)
		return 0;
	snprintf(name, sizeof(name), DIR_NAME "/%.200s.host", j->m->name);
	char *text = arena_fmt(a, "%s %s\n", j->m->name, j->m->host_key);
	o->known_hosts = arena_fmt(a, "%s/%s", j->s->l->state_phys, name);
	o->host_alias = j->m->name;
	if (!text || !o->known_hosts)
		return err_set(e, -ENOMEM, "out of memory");
	return file_write_atomic(j->s->l->state_fd, name, text, strlen(text), 0600, e);
}

static int open_both(const struct offload_job *j, struct arena *a, struct conns *c, struct err *e)
{
	const struct local *l = j->s->l;
	struct store_opts here = { .fresh = true,
				   .root = *l->root ? l->root : "/",
				   .store_dir = l->store_dir,
				   .state_dir = l->state_dir };
	struct store_opts there = { .remote = j->m->address,
				    .store_dir = l->store_dir,
				    .identity = j->m->identity,
				    .max_jobs = 1,
				    .timeout = j->s->timeout,
				    .max_silent = j->s->max_silent,
				    .raw = true };
	int r = write_known(j, a, &there, e);
	if (!r)
		r = store_open(&there, &c->there, e);
	return r ? r : store_open(&here, &c->here, e);
}

static int send_inputs(const struct offload_job *j, struct arena *a, struct conns *c, struct err *e)
{
	struct copy copy = { .from = c->here, .to = c->there, .sign = true };
	const char **paths = arena_array(a, j->inputs->n + 1, sizeof(*paths));
	size_t n = 0, sent;
	if (!paths)
		return err_set(e, -ENOMEM, "out of memory");
	paths[n++] = j->drv_path;
	for (size_t i = 0; i < j->inputs->n; i++)
		paths[n++] = j->inputs->v[i];
	return copy_items(&copy, paths, n, &sent, e);
}

/* The archive at the start of an export. */
struct exported {
	struct nar_source src;
	struct store_conn *c;
};

static int exported_read(struct nar_source *src, void *p, size_t n, struct err *e)
{
	struct exported *x = CONTAINER_OF(src, struct exported, src);
	for (char *to = p; n;) {
		size_t got = 0;
		int r = client_export_read(x->c, to, n, &got, e);
		if (!r && !got)
			r = err_set(e, -ERR_PROTO, "the other side sent less than an archive");
		if (r)
			return r;
		to += got;
		n -= got;
	}
	return 0;
}

static int fetch_output(const struct offload_job *j, struct conns *c, const char *path,
			struct err *e)
{
	struct exported x = { { exported_read }, c->there };
	char rest[4096];
	size_t got = 1;
	int r = client_export_begin(c->there, path, false, e);
	if (!r)
		r = nar_restore(&x.src, j->dirfd, local_base(j->s->l, path), e);
	while (!r && got) /* what the other store knows of it */
		r = client_export_read(c->there, rest, sizeof(rest), &got, e);
	return r;
}

/* Exit status of the child; what it says last is the reason. */
static int run(const struct offload_job *j)
{
	auto_arena struct arena a = ARENA_INIT;
	struct conns c = { NULL, NULL };
	struct err e = ERR_INIT;
	bool builds = false;
	int r = open_both(j, &a, &c, &e);
	if (!r)
		r = send_inputs(j, &a, &c, &e);
	if (!r) {
		r = store_build(c.there, &j->drv_path, 1, &e);
		builds = r == -ERR_BUILD || r == -ERR_TIMEOUT;
	}
	for (size_t i = 0; !r && i < j->drv->noutputs; i++)
		r = fetch_output(j, &c, j->drv->outputs[i].path, &e);
	store_close(c.here);
	store_close(c.there);
	bool named = builds || strstr(e.msg, j->m->address);
	if (r)
		fprintf(stderr, "%s%s%s\n", named ? "" : j->m->address, named ? "" : ": ", e.msg);
	return !r ? 0 : !builds ? OFFLOAD_UNREACHABLE : r == -ERR_TIMEOUT ? OFFLOAD_TIMEOUT : 1;
}

/* Nothing of the daemon's is left open but what the child needs: others wait for the end of its
 * connections and locks. */
static void child(const struct offload_job *job)
{
	struct offload_job j = *job;
	struct local l = *job->s->l;
	struct session s = *job->s;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int state = openat(l.state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fds[] = { null, j.log, j.log, j.dirfd, state };
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) /* out of the way of where they go */
		fds[i] = fcntl(fds[i], F_DUPFD, 16);
	for (int i = 0; i < (int)ARRAY_LEN(fds); i++)
		if (dup2(fds[i], i) < 0)
			_exit(OFFLOAD_UNREACHABLE);
	(void)syscall(SYS_close_range, 5U, ~0U, 0U); /* else what is open stays so */
	(void)fcntl(3, F_SETFD, FD_CLOEXEC);
	(void)fcntl(4, F_SETFD, FD_CLOEXEC);
	j.s = &s;
	s.l = &l;
	j.dirfd = 3;
	l.state_fd = 4;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	_exit(run(&j));
}

int offload_start(const struct offload_job *j, struct proc *ret, struct err *e)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return err_sys(e, "cannot fork");
	if (pid == 0) {
		if (getppid() == parent)
			child(j);
		_exit(OFFLOAD_UNREACHABLE);
	}
	ret->pid = pid;
	ret->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (ret->pidfd >= 0)
		return 0;
	int r = err_sys(e, "cannot watch a child");
	kill(pid, SIGKILL);
	return r;
}
