/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/container.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/tab.h"
#include "store/store.h"

#define EXIT_NOT_FOUND 127
#define EXIT_NOT_RUN   126
#define EXIT_SET_UP    125

/* ---- Closure --------------------------------------------------------------------------------- */

int container_closure(struct store_conn *c, struct arena *a, const struct vec *items,
		      struct vec *ret, struct err *e)
{
	auto_tab struct tab seen = TAB_INIT;
	bool fresh;
	int r = 0;

	for (size_t i = 0; i < items->n; i++)
		vec_add(ret, items->v[i]);
	for (size_t i = 0; r == 0 && i < ret->n; i++) {
		struct store_info *info = NULL;

		if (tab_has(&seen, slice_of(ret->v[i])))
			continue;
		(void)tab_put(&seen, slice_of(ret->v[i]),
			      &fresh); /* its error is looked at below */
		r = store_info(c, a, ret->v[i], &info, e);
		for (size_t k = 0; r == 0 && k < info->nrefs; k++)
			if (!tab_has(&seen, slice_of(info->refs[k])))
				vec_add(ret, (void *)(uintptr_t)info->refs[k]);
		if (r == 0 && (ret->err || seen.err))
			r = err_set(e, -ENOMEM, "out of memory");
	}
	vec_sort_str(ret);
	vec_uniq_str(ret);
	return r;
}

/* ---- The root, in the child ------------------------------------------------------------------ */

struct attr { /* struct mount_attr of the kernel */
	uint64_t set, clear, propagation, userns;
};

/* Below the new root, whose parents are made. */
static int place(const char *root, const char *path, bool dir, char out[PATH_MAX], struct err *e)
{
	char parent[PATH_MAX];
	auto_fd int fd = -1;
	int r = path_join(out, root, path + 1);

	if (r < 0 || path_dir(parent, out) < 0)
		return err_num(e, -ENAMETOOLONG, "%s", path);
	r = file_mkdir_p(AT_FDCWD, dir ? out : parent, 0755, e);
	if (r < 0 || dir)
		return r;
	fd = open(out, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	return fd < 0 ? err_sys(e, "%s", path) : 0;
}

static int bind(const char *root, const char *from, const char *path, bool read_only, struct err *e)
{
	struct attr ro = { .set = MS_RDONLY };
	char at[PATH_MAX], target[PATH_MAX], target_dir[PATH_MAX];
	struct stat st;
	ssize_t n;
	int r;

	if (lstat(from, &st) < 0)
		return err_sys(e, "%s", from);
	if (S_ISLNK(st.st_mode)) { /* an item can be a link */
		n = readlink(from, target, sizeof(target) - 1);
		if (n < 0)
			return err_sys(e, "%s", from);
		target[n] = '\0';
		r = path_join(at, root, path + 1);
		if (r < 0 || path_dir(target_dir, at) < 0)
			return err_num(e, -ENAMETOOLONG, "%s", path);
		r = file_mkdir_p(AT_FDCWD, target_dir, 0755, e);
		return r < 0 ? r : symlink(target, at) < 0 ? err_sys(e, "%s", path) : 0;
	}
	r = place(root, path, S_ISDIR(st.st_mode), at, e);
	if (r < 0)
		return r;
	if (mount(from, at, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_sys(e, "mount %s", path);
	if (read_only &&
	    syscall(SYS_mount_setattr, AT_FDCWD, at, AT_RECURSIVE, &ro, sizeof(ro)) < 0)
		return err_sys(e, "make %s read-only", path);
	return 0;
}

static int mount_at(const char *root, const char *path, const char *type, const char *options,
		    struct err *e)
{
	char at[PATH_MAX];
	int r = place(root, path, true, at, e);

	if (r == 0 && mount(type, at, type, MS_NOSUID | MS_NODEV, options) < 0)
		r = err_sys(e, "mount %s", path);
	return r;
}

static int write_etc(const char *root, struct err *e)
{
	const struct passwd *pw = getpwuid(getuid());
	const char *name = pw ? pw->pw_name : "user", *home = getenv("HOME");
	char text[1024], at[PATH_MAX];
	int r = place(root, "/etc", true, at, e);
	int n = snprintf(text, sizeof(text), "%s:x:%u:%u::%s:/bin/sh\n", name, (unsigned)getuid(),
			 (unsigned)getgid(), home ? home : "/");

	if (r == 0)
		r = path_join(at, root, "etc/passwd");
	if (r == 0 && n > 0 && (size_t)n < sizeof(text))
		r = file_write_atomic(AT_FDCWD, at, text, (size_t)n, 0644, e);
	n = snprintf(text, sizeof(text), "%s:x:%u:\n", name, (unsigned)getgid());
	if (r == 0)
		r = path_join(at, root, "etc/group");
	if (r == 0)
		r = file_write_atomic(AT_FDCWD, at, text, (size_t)n, 0644, e);
	return r;
}

static int make_root(const struct container *c, const char *root, struct err *e)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero",   "/dev/full",
					       "/dev/tty",  "/dev/random", "/dev/urandom" };
	char at[PATH_MAX];
	int r = mount_at(root, "/tmp", "tmpfs", "mode=1777", e);

	if (r == 0)
		r = mount_at(root, "/proc", "proc", NULL, e);
	for (size_t i = 0; r == 0 && i < sizeof(devices) / sizeof(devices[0]); i++)
		if (access(devices[i], F_OK) == 0)
			r = bind(root, devices[i], devices[i], false, e);
	for (size_t i = 0; r == 0 && i < c->items->n; i++) {
		auto_arena struct arena a = ARENA_INIT;
		char *from = arena_fmt(&a, "%s%s", c->root, (const char *)c->items->v[i]);

		r = from ? bind(root, from, c->items->v[i], true, e)
			 : err_set(e, -ENOMEM, "out of memory");
	}
	if (r == 0 && c->share)
		r = bind(root, c->share, c->share, false, e);
	if (r == 0 && c->network && access("/etc/resolv.conf", F_OK) == 0)
		r = bind(root, "/etc/resolv.conf", "/etc/resolv.conf", true, e);
	if (r == 0)
		r = write_etc(root, e);
	if (r == 0 && c->shell) {
		r = place(root, "/bin", true, at, e);
		if (r == 0 && path_join(at, root, "bin/sh") == 0 && symlink(c->shell, at) < 0)
			r = err_sys(e, "/bin/sh");
	}
	return r;
}

/* The new root is mounted over a directory that is there anyway, and where nothing is that is
 * needed for it: so nothing is left on this machine. */
static int enter_root(const struct container *c, struct err *e)
{
	struct attr ro = { .set = MS_RDONLY };
	const char *root = "/proc";
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "make the mounts private");
	if (mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
		return err_sys(e, "mount a tmpfs");
	r = make_root(c, root, e);
	if (r < 0)
		return r;
	/* The directories between the mounts. */
	if (syscall(SYS_mount_setattr, AT_FDCWD, root, 0, &ro, sizeof(ro)) < 0)
		return err_sys(e, "make the root read-only");
	if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir(c->share ? c->share : "/") < 0)
		return err_sys(e, "enter the new root");
	return 0;
}

/* ---- Processes ------------------------------------------------------------------------------- */

static int write_file(const char *file, const char *text, struct err *e)
{
	auto_fd int fd = open(file, O_WRONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));

	return r < 0 ? err_num(e, r, "%s", file) : 0;
}

static int new_namespaces(const struct container *c, struct err *e)
{
	const unsigned uid = getuid(), gid = getgid();
	int flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
	char map[64];
	int r;

	if (unshare(c->network ? flags : flags | CLONE_NEWNET) < 0) {
		r = err_set(e, -ERR_SANDBOX, "make namespaces: %s", strerror(errno));
		return err_hint(e, r, "see the sysctl user.max_user_namespaces");
	}
	r = write_file("/proc/self/setgroups", "deny", e);
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (r == 0)
		r = write_file("/proc/self/uid_map", map, e);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (r == 0)
		r = write_file("/proc/self/gid_map", map, e);
	return r;
}

/* Wait for pid; which: pid as well, or -1 to reap every other child until then. */
static int wait_for(pid_t pid, pid_t which, int *ret)
{
	int status;
	pid_t ended;

	while ((ended = waitpid(which, &status, 0)) != pid)
		if (ended < 0 && errno != EINTR)
			return -errno;
	*ret = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 0;
}

static void __attribute__((noreturn)) run_command(const struct container *c)
{
	int why;

	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGQUIT, SIG_DFL);
	execvp(c->argv[0], c->argv);
	why = errno;
	fprintf(stderr, "%s: %s\n", c->argv[0], strerror(why));
	_exit(why == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

static volatile pid_t command; /* 0: not started */

static void pass_on(int signal)
{
	int saved = errno;

	if (command > 0)
		(void)kill(command, signal);
	errno = saved;
}

/* The first process of the new namespaces. The kernel keeps from such a process every signal that
 * it does not handle, so the command is another one; this one waits for it, and for what becomes
 * an orphan. SIGINT and SIGQUIT of a terminal go to the command as well, and not by way of this. */
static void __attribute__((noreturn)) child(const struct container *c)
{
	static const int passed[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
	struct sigaction action = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
	struct err e = ERR_INIT;
	int status = EXIT_SET_UP;
	sigset_t all, before;
	pid_t pid;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter_root(c, &e) < 0) {
		fprintf(stderr, "container: %s\n", e.msg);
		_exit(EXIT_SET_UP);
	}
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
		run_command(c);
	}
	if (pid < 0) {
		fprintf(stderr, "container: fork: %s\n", strerror(errno));
		_exit(EXIT_SET_UP);
	}
	command = pid;
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		(void)sigaction(passed[i], &action, NULL);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	_exit(wait_for(pid, -1, &status) < 0 ? EXIT_SET_UP : status);
}

int container_run(const struct container *c, int *ret_status, struct err *e)
{
	pid_t pid;
	int r = new_namespaces(c, e);

	if (r < 0)
		return r;
	(void)signal(SIGINT, SIG_IGN); /* ^C is for the command */
	(void)signal(SIGQUIT, SIG_IGN);
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0)
		child(c);
	if (pid < 0)
		return err_sys(e, "fork");
	r = wait_for(pid, pid, ret_status);
	if (r < 0)
		return err_num(e, r, "wait");
	return 0;
}
