/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init/box.h"
#include "init/cgroup.h"
#include "init/pidns.h"
#include "init/state.h"
#include "init/user.h"
#include "lib/fd.h"
#include "lib/size.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ull
#endif
#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1u << 1)
#endif

#define ENV_MAX 128
#define HIGH_FD 128 /* above every target */

#define WHAT_SIZE 200

struct shared {
	struct child_cell cell, reaper;
	char what[WHAT_SIZE];
};

static struct {
	volatile struct child_cell *cell, *reaper;
	char *what;	      /* shared with children, too: the step that failed, and on what */
	struct rlimit nofile; /* as it was given to PID 1 */
	const char *notify_path;
	int clone3_missing;
	int null; /* /dev/null, at a low number */
	int lent; /* below null: a child that shares the table puts its output here */
} state = { .null = -1, .lent = -1 };

/* Everything computed before the clone. One at a time, so static: PID 1's stack stays small. */
static struct plan {
	const struct child_spec *spec;
	struct user user;
	gid_t gid;
	bool change_ids;
	bool share_table; /* of descriptors, with PID 1, until it has set what it is to have */
	int cgroup;	  /* -1: none */
	bool born_there;  /* clone put it into the group */
	const char *envp[ENV_MAX + 1];
	size_t nenv;
	bool env_full;	 /* one more was to be put in */
	char text[1024]; /* of variables made here */
	size_t used;
	char *listen_pid;
	char files[LIMIT_ENV_FILES]; /* of variables read in the child: PID 1 never touches it */
} plan;

static void open_null(void)
{
	if (state.lent < 0)
		state.lent = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (state.null < 0)
		state.null = open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* The kernel's table of descriptors grows in steps. Where it has to in the middle of a
 * clone that shares it, the kernel waits for all processors: 5 ms. It never shrinks. */
static void grow_table(size_t services)
{
	int high = fcntl(state.null, F_DUPFD_CLOEXEC, (int)(3 * services + 64));

	fd_close(&high);
}

int child_init(const char *notify_path, struct child_cell *cell, size_t services)
{
	struct rlimit want;

	state.notify_path = notify_path;
	open_null();
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -errno;
	state.cell = cell ? cell : &shared->cell;
	state.reaper = &shared->reaper;
	state.what = shared->what;
	if (state_adopts())
		pidns_come_home();
	if (!state_keep(STATE_LIMITS, &state.nofile, sizeof(state.nofile)) &&
	    prlimit(0, RLIMIT_NOFILE, NULL, &state.nofile) == 0) {
		want = state.nofile;
		want.rlim_cur = want.rlim_max;
		if (want.rlim_cur > 65536)
			want.rlim_cur = 65536;
		(void)prlimit(0, RLIMIT_NOFILE, &want, NULL); /* fewer services then */
	}
	grow_table(services);
	return 0;
}

/* ---- before the clone ------------------------------------------------------------------------*/

/* Later ones replace earlier ones of the same name. */
static void env_put(const char *assignment)
{
	size_t name = strcspn(assignment, "=") + 1;

	for (size_t i = 0; i < plan.nenv; i++) {
		if (strncmp(plan.envp[i], assignment, name) == 0) {
			plan.envp[i] = assignment;
			return;
		}
	}
	if (plan.nenv < ENV_MAX)
		plan.envp[plan.nenv++] = assignment;
	else
		plan.env_full = true;
}

static char *env_format(const char *name, const char *value)
{
	char *at = plan.text + plan.used;
	size_t room = sizeof(plan.text) - plan.used;
	int n = snprintf(at, room, "%s=%s", name, value);

	if (n < 0 || (size_t)n >= room)
		return NULL; /* a home directory of a kilobyte: leave it out */
	plan.used += (size_t)n + 1;
	env_put(at);
	return at;
}

static void env_list(const struct svc_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		env_put(l->v[i]);
}

static void build_environment(const struct child_spec *spec)
{
	const struct svc_def *d = spec->def;
	char text[32], names[256] = "";
	size_t n = 0;

	plan.nenv = plan.used = 0;
	plan.env_full = false;
	plan.listen_pid = NULL;
	env_put(CHILD_PATH);
	if (plan.change_ids) {
		env_format("HOME", plan.user.home);
		env_format("USER", plan.user.name);
		env_format("LOGNAME", plan.user.name);
	}
	env_format("SERVICE_NAME", d->name);
	env_list(spec->base_environment);
	env_list(&d->environment);
	if (spec->notify_socket)
		env_format("NOTIFY_SOCKET", state.notify_path);
	if (spec->notify_socket && d->alive_timeout) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)(d->alive_timeout / 1000));
		env_format("WATCHDOG_USEC", text);
	}
	if (spec->nlisten + spec->nstored) {
		snprintf(text, sizeof(text), "%zu", spec->nlisten + spec->nstored);
		env_format("LISTEN_FDS", text);
		plan.listen_pid = env_format("LISTEN_PID", "0000000000");
		for (size_t i = 0; i < spec->nlisten + spec->nstored && n < sizeof(names); i++) {
			const char *name = i >= spec->nlisten  ? spec->stored[i - spec->nlisten]
					   : d->listen[i].name ? d->listen[i].name
							       : d->name;
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ":" : "",
					      name);
		}
		env_format("LISTEN_FDNAMES", names);
	}
	plan.envp[plan.nenv] = NULL;
}

static int find_ids(const struct svc_def *d, char *why, size_t why_size)
{
	plan.change_ids = d->user || d->group || d->groups_given;
	if (!plan.change_ids)
		return 0;
	int r = user_find(d->user ? d->user : "root", &plan.user);
	if (r < 0) {
		snprintf(why, why_size, "user %s: not found", d->user);
		return r;
	}
	plan.gid = plan.user.gid;
	if (d->group && (r = user_group_find(d->group, &plan.gid)) < 0) {
		snprintf(why, why_size, "group %s: not found", d->group);
		return r;
	}
	if (!d->groups_given)
		return 0;
	plan.user.ngroups = 0;
	for (size_t i = 0; i < d->groups.n; i++) {
		r = user_group_find(d->groups.v[i], &plan.user.groups[plan.user.ngroups++]);
		if (r < 0) {
			snprintf(why, why_size, "group %s: not found", d->groups.v[i]);
			return r;
		}
	}
	return 0;
}

/* ---- in the child ----------------------------------------------------------------------------*/

void child_reset(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &dfl, NULL); /* KILL and STOP refuse */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prlimit(0, RLIMIT_NOFILE, &state.nofile, NULL);
}

__attribute__((noreturn)) static void give_up(const char *step, const char *object, int err)
{
	bool exec = strcmp(step, "exec") == 0;

	snprintf(state.what, WHAT_SIZE, "%s%s%s%s", exec ? "" : "set-up: ", step, object ? " " : "",
		 object ? object : "");
	state.cell->error = err ? err : EINVAL;
	_exit(127);
}

static void must(bool ok, const char *step)
{
	if (!ok)
		give_up(step, NULL, errno);
}

static void must_box(int r, const struct box_fail *f)
{
	if (r < 0)
		give_up(f->step, f->object, -r);
}

static void set_terminal(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		give_up("terminal", path, errno);
	(void)fd_set_nonblock(fd, false);
	must(ioctl(fd, TIOCSCTTY, 1) == 0 || errno == EPERM, "terminal");
	for (int i = 0; i < 3; i++)
		must(dup2(fd, i) >= 0, "terminal");
}

static void set_output(int out)
{
	if (out == -1)
		out = state.null;
	if (out == -2) {
		out = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		if (out >= 0)
			(void)fd_set_nonblock(out, false);
		else
			out = state.null;
	}
	must(dup2(state.null, 0) >= 0 && dup2(out, 1) >= 0 && dup2(out, 2) >= 0, "descriptors");
}

/* In PID 1's own table only the place for it; then the child gets a table for itself, with the
 * lowest ones alone. A copy of the whole, all of it closed by the exec, would cost 0.1 ms with 500
 * services. What PID 1 has at 1 and 2 is never touched: it may crash before it could mend that. */
static void set_output_sharing(int out)
{
	if (out == -1)
		out = state.null;
	must(dup3(out, state.lent, O_CLOEXEC) >= 0, "descriptors");
	if (syscall(SYS_close_range, state.null + 1, ~0u, CLOSE_RANGE_UNSHARE) < 0)
		must(unshare(CLONE_FILES) == 0, "descriptors");
	must(dup2(state.null, 0) >= 0 && dup2(state.lent, 1) >= 0 && dup2(state.lent, 2) >= 0,
	     "descriptors");
}

/* After a child that shared its table; a crash before it closes the place in the exec. */
static void take_back(void)
{
	(void)dup3(state.null, state.lent, O_CLOEXEC);
}

/* First all to high numbers, then to their places: no order can clobber a source. */
static void set_fds(const struct child_spec *spec)
{
	int high[CHILD_FDS];

	for (size_t i = 0; i < spec->nfds; i++) {
		high[i] = fcntl(spec->fds[i].from, F_DUPFD_CLOEXEC, HIGH_FD);
		must(high[i] >= 0, "descriptors");
	}
	for (size_t i = 0; i < spec->nfds; i++)
		must(dup2(high[i], spec->fds[i].to) >= 0, "descriptors");
}

static void set_limits(const struct svc_def *d)
{
	must(prlimit(0, RLIMIT_NOFILE, &state.nofile, NULL) == 0, "limit");
	for (size_t i = 0; i < d->nlimits; i++) {
		const struct svc_limit *l = &d->limits[i];
		struct rlimit r = {
			.rlim_cur = l->soft == UINT64_MAX ? RLIM_INFINITY : l->soft,
			.rlim_max = l->hard == UINT64_MAX ? RLIM_INFINITY : l->hard,
		};
		must(prlimit(0, l->resource, &r, NULL) == 0, "limit");
	}
	if (d->ioprio)
		must(syscall(SYS_ioprio_set, 1 /* a process */, 0, d->ioprio) == 0, "ioprio");
	if (d->cpus)
		must(syscall(SYS_sched_setaffinity, 0, LIMIT_SVC_CPUS / 8, d->cpus) == 0,
		     "cpu-affinity");
	if (d->nice)
		must(setpriority(PRIO_PROCESS, 0, d->nice) == 0, "nice");
	if (d->oom_adjust) {
		char text[16];
		int n = snprintf(text, sizeof(text), "%d", d->oom_adjust);
		int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
		must(fd >= 0 && write(fd, text, (size_t)n) == n, "oom-adjust");
	}
}

/* The calls themselves, as there is one thread: a C library would ask all of them, which costs more
 * than this file. */
static void set_ids(void)
{
	if (!plan.change_ids)
		return;
	must(syscall(SYS_setgroups, plan.user.ngroups, plan.user.groups) == 0, "groups");
	must(syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) == 0, "group");
	must(syscall(SYS_setresuid, plan.user.uid, plan.user.uid, plan.user.uid) == 0, "user");
	/* -1 would have meant "leave it". */
	must(getuid() == plan.user.uid && geteuid() == plan.user.uid && getgid() == plan.gid,
	     "user");
}

/* ---- variables from files: the child reads them, whose memory is its own ----------------------*/

/* What PID 1 says about descriptors and sockets is not for files to change. */
static bool is_ours(const char *assignment)
{
	return strncmp(assignment, "LISTEN_", 7) == 0 ||
	       strncmp(assignment, "NOTIFY_SOCKET=", 14) == 0;
}

/* NAME=VALUE, the value as it stands or in quotes that fall off. */
static bool take_line(char *line)
{
	char *value = strchr(line, '=');
	size_t n = value ? strlen(++value) : 0;

	if (!value || value == line + 1 || strcspn(line, " \t") < (size_t)(value - line))
		return false;
	if (n >= 2 && (*value == '"' || *value == '\'') && value[n - 1] == *value) {
		value[n - 1] = '\0';
		memmove(value, value + 1, n - 1);
	}
	if (!is_ours(line))
		env_put(line);
	return true;
}

static void read_variables(const char *path, size_t *used)
{
	bool optional = *path == '-';
	struct stat st;
	int fd = open(path + optional, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 && optional && errno == ENOENT)
		return;
	if (fd < 0 || fstat(fd, &st) < 0)
		give_up("environment-file", path + optional, errno);
	if (!S_ISREG(st.st_mode))
		give_up("environment-file", path + optional, EINVAL);
	size_t room = sizeof(plan.files) - *used;
	ssize_t n =
		st.st_size < (off_t)room ? fd_read_some(fd, plan.files + *used, room - 1) : -EFBIG;
	if (n < 0)
		give_up("environment-file", path + optional, (int)-n);
	struct slice rest = { plan.files + *used, (size_t)n }, line;
	*used += (size_t)n + 1;
	while (slice_cut(&rest, '\n', &line)) {
		line = slice_trim(line);
		((char *)line.p)[line.n] = '\0';
		if (line.n && line.p[0] != '#' && !take_line((char *)line.p))
			give_up("environment-file", path + optional, EINVAL);
	}
	fd_close(&fd);
}

static void read_environment(const struct svc_def *d)
{
	size_t used = 0;

	for (size_t i = 0; i < d->environment_files.n; i++)
		read_variables(d->environment_files.v[i], &used);
	if (plan.env_full)
		give_up("environment-file", d->environment_files.v[0], E2BIG);
	plan.envp[plan.nenv] = NULL;
}

__attribute__((noreturn)) static void child(void)
{
	const struct child_spec *spec = plan.spec;
	const struct svc_def *d = spec->def;
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	struct box_fail f = { NULL, NULL };
	sigset_t none;

	if (state.clone3_missing)
		for (int i = 1; i < NSIG; i++)
			(void)sigaction(i, &dfl, NULL);
	must(setsid() >= 0, "setsid");
	if (plan.cgroup >= 0 && !plan.born_there) {
		int fd = openat(plan.cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		must(fd >= 0 && write(fd, "0", 1) == 1, "cgroup");
		fd_close(&fd); /* the table may be PID 1's */
	}
	if (plan.share_table)
		set_output_sharing(spec->out);
	else if (d->terminal && spec->main)
		set_terminal(d->terminal);
	else
		set_output(spec->out);
	set_fds(spec);
	set_limits(d);
	if (d->environment_files.n)
		read_environment(d);
	if (d->box.any) {
		must_box(box_find_filter(&d->box, &f), &f);
		must_box(box_enter(d, spec->join, spec->join_pid, &f), &f);
		must_box(box_bound(&d->box, plan.change_ids, &f), &f);
	}
	if (d->umask != INIT_UMASK)
		(void)umask((mode_t)d->umask);
	set_ids();
	must_box(d->box.any ? box_raise(&d->box, plan.change_ids, &f) : 0, &f);
	if ((d->box.any || strcmp(d->cwd, "/") != 0) && chdir(d->cwd) < 0)
		give_up("working-directory", d->cwd, errno);
	if (svc_box_on(&d->box, SVC_BOX_PRIVILEGES))
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no-new-privileges");
	if (plan.listen_pid)
		snprintf(plan.listen_pid, sizeof("LISTEN_PID=0000000000"), "LISTEN_PID=%d",
			 (int)getpid());
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	must_box(box_load_filter(&d->box, &f), &f);
	execve(spec->argv[0], (char *const *)spec->argv, (char *const *)plan.envp);
	give_up("exec", spec->argv[0], errno);
}

/* ---- the clone -------------------------------------------------------------------------------*/

struct clone3_args { /* the kernel's struct clone_args, version 2 */
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
		set_tid_size, cgroup;
};

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)
#define SHARES_MEMORY 1

/* clone3 whose child runs fn, which never returns, in PID 1's memory and on this stack. PID 1
 * stands still meanwhile (CLONE_VFORK). A copy of its memory would be a third of what a start
 * costs. */
static long clone3_sharing(struct clone3_args *a, void (*fn)(void))
{
	static char stack[16384] __attribute__((aligned(16)));
	long r;

	a->flags |= CLONE_VM;
	a->stack = (uint64_t)(uintptr_t)stack;
	a->stack_size = sizeof(stack);
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "call *%[fn]\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(r)
			 : "a"(SYS_clone3), "D"(a), "S"(sizeof(*a)), [fn] "r"(fn)
			 : "rcx", "r11", "memory", "cc");
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}
#else
#define SHARES_MEMORY 0

static long clone3_sharing(struct clone3_args *a, void (*fn)(void))
{
	(void)fn;
	return syscall(SYS_clone3, a, sizeof(*a));
}
#endif

/* What the child does must then change nothing of PID 1: no identity (the kernel would note it in
 * the memory), no variables from files, no namespaces. */
static bool may_share(const struct child_spec *spec)
{
	const struct svc_def *d = spec->def;

	return SHARES_MEMORY && !plan.change_ids && !d->environment_files.n && !d->box.any &&
	       !d->oom_adjust && spec->join < 0;
}

/* Nothing is there but what goes to 0, 1 and 2, and nothing else is asked for by number later. */
static bool may_share_table(const struct child_spec *spec)
{
	const struct svc_def *d = spec->def;

	return state.lent >= 0 && state.lent < state.null && spec->nfds == 0 && spec->out >= -1 &&
	       !(d->terminal && spec->main) && !d->box.any && spec->join < 0;
}

/* share: NULL, or what the child runs in PID 1's memory. */
static long raw_clone3(uint64_t flags, int cgroup, void (*share)(void))
{
	struct clone3_args a = {
		.flags = flags | CLONE_PIDFD | CLONE_PARENT_SETTID,
		.pidfd = (uint64_t)(uintptr_t)&state.cell->pidfd,
		.parent_tid = (uint64_t)(uintptr_t)&state.cell->pid,
		.exit_signal = SIGCHLD,
	};

	if (cgroup >= 0) {
		a.flags |= CLONE_INTO_CGROUP;
		a.cgroup = (uint64_t)cgroup;
	}
	return share ? clone3_sharing(&a, share) : syscall(SYS_clone3, &a, sizeof(a));
}

/* As fork with a pidfd, both in the cell. Refused clone3 (old kernel, container filter) falls back
 * for good. */
static long clone_child(uint64_t flags, int cgroup, void (*share)(void), bool *ret_born)
{
	long pid = -1;

	state.cell->step = state.cell->error = 0;
	state.cell->pid = 0;
	state.cell->pidfd = -1;
	*ret_born = cgroup >= 0;
	if (!state.clone3_missing) {
		pid = raw_clone3(flags | CLONE_CLEAR_SIGHAND, cgroup, share);
		if (pid < 0 && errno == EBUSY && cgroup >= 0) {
			*ret_born = false; /* inner group: the child joins and reports */
			pid = raw_clone3(flags | CLONE_CLEAR_SIGHAND, -1, share);
		}
		if (pid >= 0 || (errno != ENOSYS && errno != EPERM && errno != EINVAL))
			return pid;
	}
	*ret_born = false;
	/* This one has a single place for the two; the descriptor leads to the number. */
	pid = syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, &state.cell->pidfd, NULL, 0);
	if (pid > 0) {
		state.cell->pid = (pid_t)pid;
		state.clone3_missing = 1;
	}
	return pid;
}

/* Not in the cell: a next life would take it for the service's own. */
static pid_t clone_reaper(uint64_t flags, int *pidfd)
{
	volatile struct child_cell *cell = state.cell;
	bool born;

	state.cell = state.reaper;
	long pid = clone_child(flags, plan.cgroup, NULL, &born);
	if (pid > 0)
		*pidfd = state.cell->pidfd;
	state.cell = cell;
	return (pid_t)pid;
}

/* The process itself, and before it what makes process numbers of its own. */
static int clone_service(const struct child_spec *spec, pid_t *ret_pid, int *ret_pidfd)
{
	bool numbers = svc_box_on(&spec->def->box, SVC_BOX_PIDS);
	int reaper = -1, r = pidns_end();

	snprintf(state.what, WHAT_SIZE, "set-up: private-pids");
	if (r == 0 && numbers)
		r = spec->join >= 0 ? pidns_join(spec->join)
				    : pidns_begin(clone_reaper, spec->exe, &reaper);
	if (r < 0)
		return r;
	snprintf(state.what, WHAT_SIZE, "clone");
	plan.share_table = may_share_table(spec);
	long pid = clone_child(CLONE_VFORK | (plan.share_table ? CLONE_FILES : 0), plan.cgroup,
			       may_share(spec) ? child : NULL, &plan.born_there);
	if (pid == 0)
		child();
	if (plan.share_table)
		take_back();
	int pidfd = state.cell->pidfd;
	r = pid < 0 ? -errno : -state.cell->error;
	(void)pidns_end(); /* else the next start says so */
	pidns_tell(&reaper, r == 0);
	if (pid > 0 && r < 0) {
		(void)waitpid((pid_t)pid, NULL, 0); /* it has exited or is about to */
		fd_close(&pidfd);
	}
	*ret_pid = (pid_t)pid;
	*ret_pidfd = pidfd;
	return r;
}

static int open_group(const struct svc_def *d, char *why, size_t why_size)
{
	plan.cgroup = -1;
	if (!cgroup_on() || !d->cgroup.use)
		return 0;
	plan.cgroup =
		cgroup_open(d, plan.change_ids ? plan.user.uid : 0, plan.change_ids ? plan.gid : 0);
	if (plan.cgroup >= 0)
		return 0;
	snprintf(why, why_size, "cgroup: %s", strerror(-plan.cgroup));
	return plan.cgroup;
}

int child_start(const struct child_spec *spec, pid_t *ret_pid, int *ret_pidfd, char *why,
		size_t why_size)
{
	const struct svc_def *d = spec->def;
	int pidfd = -1, r = find_ids(d, why, why_size);
	pid_t pid = -1;

	open_null();
	if (r < 0)
		return r;
	plan.spec = spec;
	build_environment(spec);
	if (plan.env_full) {
		snprintf(why, why_size, "environment: more than %d variables", ENV_MAX);
		return -E2BIG;
	}
	r = open_group(d, why, why_size);
	if (r < 0)
		return r;
	r = clone_service(spec, &pid, &pidfd);
	fd_close(&plan.cgroup);
	if (r < 0) {
		snprintf(why, why_size, "%s: %s", state.what, strerror(-r));
		return r;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

int child_fork(int (*fn)(void *arg), void *arg, pid_t *ret_pid, int *ret_pidfd)
{
	bool born;
	long pid = clone_child(0, -1, NULL, &born);

	if (pid == 0) {
		child_reset();
		_exit(fn(arg) < 0 ? 1 : 0);
	}
	if (pid < 0)
		return -errno;
	*ret_pid = (pid_t)pid;
	*ret_pidfd = state.cell->pidfd;
	return 0;
}
