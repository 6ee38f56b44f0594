/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"

#define NS_FLAGS                                                                                   \
	((uint64_t)CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |      \
	 KERNEL_CLONE_NEWCGROUP)
#define HIGH_FD	     100
#define RESOLV_LIMIT (64u << 10)
#define SAID_LIMIT   (64u << 10)

const char *const helper_network_paths[] = {
	"/dev/null",
	"/dev/urandom",
	"/etc/ssl",
	"/etc/pki",
	"/etc/ca-certificates",
	"/etc/apt",
	"/etc/hosts",
	"/etc/nsswitch.conf",
	"/etc/services",
	"/etc/host.conf",
	"/etc/gai.conf",
	"/gnu/store",
	NULL,
};

const char *const helper_system_paths[] = { "/usr", "/lib", "/lib64", "/lib32", NULL };

void helper_add_paths(const char *paths[HELPER_PATHS_MAX], const char *const *more)
{
	size_t n = 0;
	while (paths[n])
		n++;
	for (; *more && n < HELPER_PATHS_MAX - 1; more++)
		paths[n++] = *more;
	paths[n] = NULL;
}

int helper_find(const char *name, const char *usual, char ret[PATH_MAX], struct err *e)
{
	const char *path = getenv("PATH");
	if (name) {
		int n = snprintf(ret, PATH_MAX, "%s", name);
		return name[0] == '/' && n < PATH_MAX && access(name, X_OK) == 0
			       ? 0
			       : err_sys(e, "cannot execute %s", name);
	}
	for (const char *p = path; p && *p;) {
		size_t n = strcspn(p, ":");
		int len = snprintf(ret, PATH_MAX, "%.*s/%s", (int)n, p, usual);
		if (*p == '/' && len > 0 && len < PATH_MAX && access(ret, X_OK) == 0)
			return 0;
		p += n + (p[n] == ':');
	}
	return err_set(e, -ERR_NOTFOUND, "%s is not installed", usual);
}

void helper_read_resolv(struct str *out)
{
	struct stat st;
	auto_fd int fd = open("/etc/resolv.conf", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    fd_read_all(fd, out, RESOLV_LIMIT))
		str_cut(out, 0);
	str_add(out, "");
}

struct child {
	struct cell cell;
	const struct helper *b;
	int place, work;
	int sources[HELPER_PATHS_MAX];
};

/* Needs the caller's identity, as for the directory of a private root. */
static void open_sources(struct child *c)
{
	c->place = cell_reopen(&c->cell, c->b->root);
	if (c->b->dir > 0)
		c->work = cell_reopen(&c->cell, c->b->dir);
	for (size_t i = 0; c->b->paths[i]; i++) {
		if (i == HELPER_PATHS_MAX)
			cell_die(&c->cell, 'S', "too many paths");
		c->sources[i] = open(c->b->paths[i], O_PATH | O_CLOEXEC);
	}
}

static void make_parent(struct child *c, const char *path)
{
	char dir[PATH_MAX];
	if (path_dir(dir, path) == 0 && dir[1])
		cell_make_way(&c->cell, dir);
}

static void show_path(struct child *c, const char *path, int fd)
{
	struct stat st;
	char source[32];
	if (fstatat(c->cell.root, path + 1, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return; /* in what was shown before */
	if (fstat(fd, &st) < 0)
		cell_die(&c->cell, 'S', "cannot stat %s", path);
	if (S_ISDIR(st.st_mode)) {
		cell_make_way(&c->cell, path);
	} else {
		make_parent(c, path);
		cell_put_file(&c->cell, path + 1, "");
	}
	snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
	cell_bind(&c->cell, source, path + 1, S_ISCHR(st.st_mode) ? 0 : CELL_MOUNT_INPUT);
}

static void make_files(struct child *c)
{
	for (size_t i = 0; c->b->paths[i]; i++)
		if (c->sources[i] >= 0)
			show_path(c, c->b->paths[i], c->sources[i]);
	if (c->b->dir > 0) {
		char source[32];
		snprintf(source, sizeof(source), "/proc/self/fd/%d", c->work);
		cell_make_dir(&c->cell, "work", 0755);
		cell_bind(&c->cell, source, "work", CELL_MOUNT_SAFE);
	}
	for (const struct helper_file *f = c->b->files; f->path; f++)
		if (f->text) {
			make_parent(c, f->path);
			cell_put_file(&c->cell, f->path + 1, f->text);
		}
}

/* The descriptors it is given, and for as long as the set-up goes on the one to report to. */
static void place_fds(struct child *c)
{
	const struct helper *b = c->b;
	int n = (int)b->nfds, high[8];
	if (b->nfds > ARRAY_LEN(high))
		cell_die(&c->cell, 'S', "too many descriptors");
	int sync = fcntl(c->cell.sync, F_DUPFD_CLOEXEC, HIGH_FD);
	if (sync < 0)
		cell_die(&c->cell, 'S', "cannot move descriptors");
	c->cell.sync = sync;
	for (int i = 0; i < n; i++)
		high[i] = fcntl(b->fds[i], F_DUPFD_CLOEXEC, HIGH_FD);
	for (int i = 0; i < n; i++)
		if (dup2(high[i], i) < 0)
			cell_die(&c->cell, 'S', "cannot place descriptors");
	if (dup3(sync, n, O_CLOEXEC) < 0)
		cell_die(&c->cell, 'S', "cannot place descriptors");
	c->cell.sync = n;
	kernel_close_range((unsigned)n + 1);
}

/* No core. A program says little: what it prints about each odd packet must not fill memory. */
static void limit_resources(struct child *c)
{
	static const struct rlimit none = { 0, 0 }, said = { SAID_LIMIT, SAID_LIMIT };
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		cell_die(&c->cell, 'S', "cannot set limits");
	if (!c->b->argv)
		return;
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &said) < 0)
		cell_die(&c->cell, 'S', "cannot set limits");
}

static void filter(struct child *c)
{
	int r = filter_apply(c->b->filter);
	if (r) {
		errno = -r;
		cell_die(&c->cell, 'S', "cannot set the system call filter");
	}
}

__attribute__((noreturn)) static void child_main(struct child *c)
{
	const struct helper *b = c->b;
	char go;
	cell_reset_signals();
	umask(022);
	if (read(c->cell.sync, &go, 1) != 1)
		_exit(127); /* the parent gave up */
	open_sources(c);
	cell_become(&c->cell, &b->id);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cell_die(&c->cell, 'S', "cannot make the mounts private");
	cell_make_root(&c->cell, c->place);
	make_files(c);
	if (sethostname("localhost", 9) < 0 || setdomainname("(none)", 6) < 0)
		cell_die(&c->cell, 'S', "cannot set the host name");
	cell_enter_root(&c->cell);
	if (setsid() < 0)
		cell_die(&c->cell, 'S', "cannot make a session");
	cell_leave_keyring(&c->cell);
	place_fds(c);
	limit_resources(c);
	cell_scope(&c->cell);
	cell_drop_capabilities(&c->cell);
	cell_tie(&c->cell);
	filter(c);
	if (b->argv) {
		char *const none[] = { NULL };
		execve(b->argv[0], (char *const *)b->argv, none);
		cell_die(&c->cell, 'S', "cannot execute %s", b->argv[0]);
	}
	close(c->cell.sync);
	b->run(b->arg);
	_exit(0);
}

int helper_start(const struct helper *b, struct proc *ret, struct err *e)
{
	int pair[2], pidfd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, "cannot make a socket pair");
	struct child c = { .cell = { .sync = pair[1], .root = -1 }, .b = b };
	pid_t pid = kernel_fork(NS_FLAGS | KERNEL_CLONE_CLEAR_SIGHAND, &pidfd);
	if (pid == 0) {
		close(pair[0]);
		child_main(&c);
	}
	int r = pid < 0 ? cell_clone_error(e) : 0;
	close(pair[1]);
	if (r) {
		close(pair[0]);
		return r;
	}
	struct proc proc = { pid, pidfd };
	r = cell_write_maps(pid, &b->id, e);
	if (!r && write(pair[0], "g", 1) != 1)
		r = err_sys(e, "cannot start the set-up of a helper");
	if (!r)
		r = cell_read_report(pair[0], e);
	close(pair[0]);
	if (r) {
		proc_end(&proc);
		return r;
	}
	*ret = proc;
	return 0;
}

void helper_say(const char *fmt, ...)
{
	auto_str struct str s = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_addv(&s, fmt, ap);
	va_end(ap);
	str_addc(&s, '\n');
	(void)fd_write_full(1, s.buf, s.len); /* who listened is gone, and so will we be */
}
