/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The test in a container: PID 1 of the system in namespaces of its own, with users of its own, the
 * store as it lies here, a root in memory and no network but loopback. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/proc.h"
#include "system/test-boot.h"
#include "system/test-given.h"
#include "system/test-root.h"

#define NAMESPACES                                                                                 \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | \
	 CLONE_NEWCGROUP)
/* Of the host, which nobody has: below those that are given to users are 16 bits less than these.
 */
#define FIRST_ID    2147418112u
#define IDS	    65535u
#define EXIT_SET_UP 125
#define POLL_MS	    200
#define ANSWER_NS   5000000000ull
#define LIMIT_ROWS  (4u << 20)

struct box {
	const struct sys_root *r;
	const char *system;
	struct arena arena;
	struct test_given given;
	const char *store; /* the directory of the store */
	int gate[2];	   /* a byte comes when the users are there; its end is ours */
	int console;	   /* what PID 1 and the set-up say */
	pid_t pid;
};

/* ---- Processes ------------------------------------------------------------------------------- */

/* The rights of the container's root, and death with who started it: the kernel forgets the latter
 * when the former come. */
static int become_root(struct box *b, struct err *e)
{
	struct pollfd ended = { b->gate[0], POLLIN, 0 };
	char byte;

	fd_close(&b->gate[1]);
	if (fd_read_full(b->gate[0], &byte, 1) < 0)
		_exit(EXIT_SET_UP);
	if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
	    syscall(SYS_setresuid, 0, 0, 0) < 0)
		return err_sys(e, "become root");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(e, "die with who began");
	if (poll(&ended, 1, 0) > 0)
		_exit(EXIT_SET_UP);
	return 0;
}

/* Keys of who started this are not the system's. Where there are no key rings, or none may be had,
 * nothing in there can ask for keys either. */
static int leave_keys(struct err *e)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS &&
	    errno != EPERM)
		return err_sys(e, "make a key ring");
	return 0;
}

static void __attribute__((noreturn)) child(struct box *b)
{
	static char *const env[] = { "PATH=/bin", "container=cairn", NULL };
	char init[PATH_MAX], word[PATH_MAX + 16];
	char *const argv[] = { init, word, (char *)TEST_ROOT_SET, NULL };
	struct err e = ERR_INIT;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), rc;

	(void)umask(022); /* what was the caller's is not for the users in there */
	(void)snprintf(init, sizeof(init), "%s/init", b->system);
	(void)snprintf(word, sizeof(word), "cairn.system=%s", b->system);
	if (null < 0 || dup2(null, 0) < 0 || dup2(b->console, 1) < 0 || dup2(b->console, 2) < 0)
		_exit(EXIT_SET_UP);
	/* Who is root in there need not be able to go the way to it. */
	auto_fd int store = open(b->store, O_PATH | O_DIRECTORY | O_CLOEXEC);
	rc = store < 0 ? err_sys(&e, "%s", b->store) : become_root(b, &e);
	if (rc == 0)
		rc = leave_keys(&e);
	if (rc == 0)
		rc = test_root_make(store, &e);
	if (rc == 0)
		rc = test_root_fill(b->system, &b->given.files, &e);
	if (rc == 0) {
		execve(init, argv, env);
		(void)err_sys(&e, "%s", init);
	}
	(void)dprintf(2, "container: %s\n", e.msg);
	_exit(EXIT_SET_UP);
}

static int write_map(pid_t pid, const char *name, struct err *e)
{
	char file[64], text[64];
	int n, rc;

	(void)snprintf(file, sizeof(file), "/proc/%d/%s", (int)pid, name);
	n = snprintf(text, sizeof(text), "0 %u %u", FIRST_ID, IDS);
	auto_fd int fd = open(file, O_WRONLY | O_CLOEXEC);
	rc = fd < 0 ? -errno : fd_write_full(fd, text, (size_t)n);
	return rc < 0 ? err_num(e, rc, "give the container users") : 0;
}

/* A child in the namespaces; as fork(), which no thread of ours is in the way of. */
static pid_t fork_into(unsigned long namespaces)
{
	return (pid_t)syscall(SYS_clone, namespaces | SIGCHLD, NULL, NULL, NULL, NULL);
}

static void reap(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int start(struct box *b, struct err *e)
{
	int rc;

	(void)fflush(NULL);
	b->pid = fork_into(NAMESPACES);
	if (b->pid == 0)
		child(b);
	if (b->pid < 0)
		return err_sys(e, "make namespaces");
	fd_close(&b->gate[0]);
	rc = write_map(b->pid, "uid_map", e);
	if (rc == 0)
		rc = write_map(b->pid, "gid_map", e);
	if (rc == 0)
		rc = fd_write_full(b->gate[1], "x", 1);
	return rc;
}

/* Until the other end of the pipe is closed, as it is when its process dies. */
static void __attribute__((noreturn)) wait_for_end(int gate[2])
{
	char byte;

	fd_close(&gate[1]);
	(void)fd_read_some(gate[0], &byte, 1);
	_exit(0);
}

int test_container_check(struct err *e)
{
	int gate[2], rc;
	pid_t pid;

	if (geteuid() != 0)
		return err_hint(e,
				err_set(e, -ERR_UNSUPPORTED,
					"--test container needs root, who gives the container its "
					"users"),
				"--test vm does not");
	if (pipe2(gate, O_CLOEXEC) < 0)
		return err_sys(e, "--test container");
	pid = fork_into(NAMESPACES);
	if (pid == 0)
		wait_for_end(gate);
	fd_close(&gate[0]);
	if (pid < 0) {
		fd_close(&gate[1]);
		rc = err_set(e, -ERR_UNSUPPORTED, "--test container: make namespaces: %s",
			     strerror(errno));
		return err_hint(e, rc, "see the sysctl user.max_user_namespaces");
	}
	rc = write_map(pid, "uid_map", e);
	reap(pid);
	fd_close(&gate[1]);
	return rc;
}

/* ---- Watching -------------------------------------------------------------------------------- */

/* PATH as the container has it: links in there lead to no file of ours. -1: there is none, or it
 * has no root of its own yet. */
static int open_inside(const struct box *b, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	struct stat ours, theirs;
	char root[64];

	(void)snprintf(root, sizeof(root), "/proc/%d/root", (int)b->pid);
	auto_fd int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &theirs) < 0 || stat("/", &ours) < 0 ||
	    (ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino))
		return -1;
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static int pass_on(void *arg)
{
	return fcntl(*(const int *)arg, F_SETFD, 0) < 0 ? -errno : 0;
}

/* What a child writes, up to its end; -ETIMEDOUT when that has not come by then. */
static int read_until(int fd, uint64_t until, struct str *ret)
{
	char buf[8192];
	uint64_t now;
	ssize_t n;

	while ((now = test_watch_now()) < until) {
		struct pollfd p = { fd, POLLIN, 0 };

		if (poll(&p, 1, (int)((until - now) / 1000000) + 1) <= 0)
			continue;
		n = fd_read_some(fd, buf, sizeof(buf));
		if (n <= 0)
			return (int)n;
		if (ret->len + (size_t)n > LIMIT_ROWS)
			return -ERR_LIMIT;
		str_addn(ret, buf, (size_t)n);
	}
	return -ETIMEDOUT;
}

/* In a process of its own, which is ended when PID 1 lets it wait. */
static int ask(const struct box *b, uint64_t until, struct str *ret)
{
	const char *argv[] = { "cairn", "service", "list", "--json", NULL };
	auto_fd int sock = open_inside(b, "/run/cairn/init.sock", O_PATH);
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc p = PROC_INIT;
	struct err ignored = ERR_INIT;
	char where[64];
	const char *envp[] = { where, "PATH=/bin", NULL };
	int pipe[2], rc, status;

	if (sock < 0 || pipe2(pipe, O_CLOEXEC) < 0)
		return -ENOENT;
	(void)snprintf(where, sizeof(where), "CAIRN_INIT_SOCKET=/proc/self/fd/%d", sock);
	spec.argv = argv;
	spec.path = "/proc/self/exe";
	spec.envp = envp;
	spec.in = spec.err = -2;
	spec.out = pipe[1];
	spec.dies_with_us = true;
	spec.setup = pass_on;
	spec.arg = &sock;
	rc = proc_start(&spec, &p, &ignored);
	fd_close(&pipe[1]);
	if (rc == 0)
		rc = read_until(pipe[0], until, ret);
	fd_close(&pipe[0]);
	if (rc < 0)
		proc_end(&p);
	else if (proc_wait(&p, &status) < 0 || status != 0)
		rc = -EIO;
	return rc < 0 ? rc : str_err(ret);
}

static void show_log(const struct box *b, const struct test_service *s)
{
	fprintf(stderr, "service %s failed%s%s\n", s->name, s->why[0] ? ": " : "", s->why);
	if (s->log[0] != '/')
		return;
	auto_fd int fd = open_inside(b, s->log, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0)
		test_show_end(fd);
}

static bool has_ended(struct box *b, int *status)
{
	if (waitpid(b->pid, status, WNOHANG) != b->pid)
		return false;
	b->pid = -1;
	return true;
}

static enum test_state look(const struct box *b, struct test_watch *w)
{
	auto_str struct str rows = STR_INIT;
	uint64_t until = test_watch_now() + ANSWER_NS;
	bool whole = until <= w->until;
	int rc = ask(b, whole ? until : w->until, &rows);

	if (rc == 0)
		return test_watch_see(w, str_slice(&rows), test_watch_now());
	/* A question that was cut short by the end of the test says nothing. */
	if (whole || rc != -ETIMEDOUT)
		test_watch_forget(w);
	return TEST_WAITS;
}

static int watch(struct box *b, uint64_t seconds, struct err *e)
{
	const struct timespec pause = { 0, POLL_MS * 1000000 };
	enum test_state state = TEST_WAITS;
	struct test_watch w;
	char how[64];
	int rc = 0, status = 0;

	test_watch_init(&w, "the container", seconds);
	while (state == TEST_WAITS && test_watch_now() < w.until) {
		(void)nanosleep(&pause, NULL);
		if (has_ended(b, &status))
			break;
		test_keep_end(b->console);
		state = look(b, &w);
	}
	if (b->pid < 0) {
		test_show_end(b->console);
		proc_status_text(status, how);
		rc = err_set(e, -ERR_UNHEALTHY, "PID 1 of the system ended in the container: %s",
			     how);
		rc = err_hint(e, rc, "nothing was switched");
	} else if (state != TEST_HEALTHY) {
		for (size_t i = 0; i < w.failed.n; i++)
			show_log(b, w.failed.v[i]);
		rc = test_watch_fail(&w, e);
	}
	test_watch_done(&w);
	return rc;
}

static void box_done(struct box *b)
{
	if (b->pid > 0)
		reap(b->pid);
	test_given_done(&b->given);
	fd_close(&b->gate[0]);
	fd_close(&b->gate[1]);
	fd_close(&b->console);
	arena_done(&b->arena);
}

static int open_all(struct box *b, struct err *e)
{
	b->store = sys_root_store(b->r, &b->arena, STORE_DIR_DEFAULT);
	if (!b->store)
		return err_set(e, -ENOMEM, "out of memory");
	b->console = (int)syscall(SYS_memfd_create, "console", 1U /* close-on-exec */);
	if (b->console < 0 || pipe2(b->gate, O_CLOEXEC) < 0)
		return err_sys(e, "test in a container");
	return 0;
}

int test_container_run(const struct test_boot *t, const struct sys_root *r, const char *system,
		       struct err *e)
{
	struct box b = { .r = r,
			 .system = system,
			 .arena = ARENA_INIT,
			 .given = TEST_GIVEN_INIT,
			 .gate = { -1, -1 },
			 .console = -1,
			 .pid = -1 };
	int rc = open_all(&b, e);

	if (rc == 0)
		rc = test_given_load(&b.given, r, system, e);
	if (rc == 0)
		rc = start(&b, e);
	if (rc == 0)
		rc = watch(&b, t->seconds, e);
	box_done(&b);
	return rc;
}
