/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/build/cell.h"
#include "store/kernel.h"
#include "store/build/seccomp.h"

#define NS_FLAGS                                                                                   \
	((uint64_t)CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |      \
	 KERNEL_CLONE_NEWCGROUP)
#define DESCRIPTORS   1024
#define PROCESSES     8192U /* and threads, of a build */
#define SCRIPT_LINE   256   /* what the kernel reads of a program */
#define SCRIPT_DEPTH  6
#define BUILDER_STACK (64 << 10) /* until it executes */

/* ---- Child: nothing here allocates, returns or touches the caller's state -------------------- */

struct child {
	struct cell cell;
	struct cell_id id;
	const struct sandbox *s;
	const struct filter_prog *filter;
	int real_store, store, tmp, place; /* the caller's directories, as our own mounts */
	int null;
	int end; /* where PID 1 tells how the builder ended */
};

static void bind_fd(struct child *c, int fd, const char *target, uint64_t attrs)
{
	char source[32];
	snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
	cell_bind(&c->cell, source, target, attrs);
}

/* Needs the caller's identity: the directories may lie below one that only it can enter. */
static void reopen_all(struct child *c)
{
	c->real_store = cell_reopen(&c->cell, c->s->real_store);
	c->store = cell_reopen(&c->cell, c->s->store);
	c->tmp = cell_reopen(&c->cell, c->s->tmp);
	c->place = cell_reopen(&c->cell, c->s->root);
}

static void make_dev(struct child *c)
{
	static const char *const nodes[] = { "full", "null", "random", "tty", "urandom", "zero" };
	static const char *const links[][2] = {
		{ "/proc/self/fd", "dev/fd" },	     { "/proc/self/fd/0", "dev/stdin" },
		{ "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" },
		{ "pts/ptmx", "dev/ptmx" },
	};
	cell_make_dir(&c->cell, "dev", 0755);
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		char from[24], to[24];
		snprintf(from, sizeof(from), "/dev/%s", nodes[i]);
		snprintf(to, sizeof(to), "dev/%s", nodes[i]);
		if (mknodat(c->cell.root, to, S_IFREG | 0666, 0) < 0)
			cell_die(&c->cell, 'S', "cannot make /%s", to);
		if (mount(from, to, NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
			cell_die(&c->cell, 'S', "cannot bind %s", from);
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlinkat(links[i][0], c->cell.root, links[i][1]) < 0)
			cell_die(&c->cell, 'S', "cannot make /%s", links[i][1]);
	cell_make_dir(&c->cell, "dev/shm", 01777);
	cell_make_dir(&c->cell, "dev/pts", 0755);
	if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		  "newinstance,mode=0620,ptmxmode=0666") < 0)
		cell_die(&c->cell, 'S', "cannot mount /dev/pts");
}

static void make_etc(struct child *c)
{
	cell_make_dir(&c->cell, "etc", 0755);
	char passwd[256];
	snprintf(passwd, sizeof(passwd),
		 "nixbld:x:%d:%d:Nix build user:%s:/noshell\n"
		 "nobody:x:65534:65534:Nobody:/:/noshell\n",
		 SANDBOX_UID, SANDBOX_GID, c->s->build_dir ? c->s->build_dir : "/");
	cell_put_file(&c->cell, "etc/passwd", passwd);
	cell_put_file(&c->cell, "etc/group", "nixbld:!:30000:\n");
	cell_put_file(&c->cell, "etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
	if (c->s->net)
		slirp_make_etc(&c->cell, c->s->net);
}

/* Bind one input. Its placeholder is made in the directory behind the store mount. */
static void bind_input(struct child *c, const char *base)
{
	struct stat st;
	char source[PATH_MAX], target[PATH_MAX];
	if (fstatat(c->real_store, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		cell_die(&c->cell, 'S', "cannot stat the input %s", base);
	if (S_ISLNK(st.st_mode)) { /* a bind would follow it */
		ssize_t n = readlinkat(c->real_store, base, source, sizeof(source) - 1);
		if (n < 0)
			cell_die(&c->cell, 'S', "cannot read the link %s", base);
		source[n] = 0;
		if (symlinkat(source, c->store, base) < 0)
			cell_die(&c->cell, 'S', "cannot make the link %s", base);
		return;
	}
	if (S_ISDIR(st.st_mode)) {
		if (mkdirat(c->store, base, 0755) < 0)
			cell_die(&c->cell, 'S', "cannot make the directory %s", base);
	} else if (mknodat(c->store, base, S_IFREG | 0644, 0) < 0) {
		cell_die(&c->cell, 'S', "cannot make the file %s", base);
	}
	snprintf(source, sizeof(source), "/proc/self/fd/%d/%s", c->real_store, base);
	snprintf(target, sizeof(target), "%s/%s", c->s->store_dir + 1, base);
	cell_bind(&c->cell, source, target, CELL_MOUNT_INPUT);
}

static void bind_build_dir(struct child *c)
{
	char source[NAME_MAX + 32];
	cell_make_dir(&c->cell, c->s->build_dir + 1, 0755);
	snprintf(source, sizeof(source), "/proc/self/fd/%d/%s", c->tmp, c->s->tmp_name);
	cell_bind(&c->cell, source, c->s->build_dir + 1, CELL_MOUNT_SAFE);
}

static void bind_extra(struct child *c)
{
	for (const char *const *x = c->s->extra; x && x[0]; x += 2) {
		struct stat st;
		if (stat(x[1], &st) < 0)
			cell_die(&c->cell, 'S', "cannot stat %s", x[1]);
		char dir[PATH_MAX];
		if (S_ISDIR(st.st_mode)) {
			cell_make_way(&c->cell, x[0]);
		} else {
			if (path_dir(dir, x[0]) == 0 && dir[1])
				cell_make_way(&c->cell, dir);
			cell_put_file(&c->cell, x[0] + 1, "");
		}
		cell_bind(&c->cell, x[1], x[0] + 1, CELL_MOUNT_INPUT);
	}
}

/* The device goes to the parent, which meanwhile starts what serves it. */
static void send_tap(struct child *c)
{
	int tap = slirp_open_tap(&c->cell);
	int r = fd_send(c->cell.sync, tap, 'T');
	if (r) {
		errno = -r;
		cell_die(&c->cell, 'S', "cannot give away the network device");
	}
	close(tap);
}

/* The device, configured and served: from here on the helper is where it stays. */
static void wait_net(struct child *c)
{
	char ready;
	slirp_configure(&c->cell, c->s->net);
	if (read(c->cell.sync, &ready, 1) != 1)
		_exit(127); /* the parent gave up, and says why */
}

static void make_net(struct child *c)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return; /* a kernel without IPv4 has no loopback to bring up */
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		cell_die(&c->cell, 'S', "cannot bring up the loopback interface");
	close(fd);
}

/* A second user and mount namespace with the same ids: what was mounted so far is locked, because
 * its owner is the first one, and no process from here on has rights there. */
static void lock_mounts(struct child *c)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		cell_die(&c->cell, 'S', "cannot make the inner user namespace");
	char map[32];
	cell_put_proc(&c->cell, "/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%d %d 1", SANDBOX_UID, SANDBOX_UID);
	cell_put_proc(&c->cell, "/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%d %d 1", SANDBOX_GID, SANDBOX_GID);
	cell_put_proc(&c->cell, "/proc/self/gid_map", map);
}

/* The soft limit that programs expect: some close every descriptor up to it. */
static void limit_descriptors(struct child *c)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		cell_die(&c->cell, 'S', "cannot get the limit of descriptors");
	l.rlim_cur = MIN_OF(l.rlim_max, (rlim_t)DESCRIPTORS);
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		cell_die(&c->cell, 'S', "cannot set the limit of descriptors");
}

/* Of this build alone: its user namespace has a count of its own (Linux 5.14). */
static void limit_processes(struct child *c)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NPROC, &l) < 0)
		cell_die(&c->cell, 'S', "cannot get the limit of processes");
	l.rlim_cur = l.rlim_max = MIN_OF(l.rlim_max, (rlim_t)PROCESSES);
	if (setrlimit(RLIMIT_NPROC, &l) < 0)
		cell_die(&c->cell, 'S', "cannot set the limit of processes");
}

static void set_personality(struct child *c)
{
	unsigned long p = ADDR_NO_RANDOMIZE;
	if (strcmp(c->s->system, "i686-linux") == 0 || strcmp(c->s->system, "armhf-linux") == 0)
		p |= PER_LINUX32;
	if (c->s->old_kernel)
		p |= UNAME26;
	if (personality(p) < 0)
		cell_die(&c->cell, 'S', "cannot set the personality");
}

/* What is executed must lie in the store: /proc/self/exe and the like would be the daemon's own
 * program. Returns it open for reading; -1: it may be executed, but not read. */
static int check_program(struct child *c, const char *what, const char *path)
{
	char link[32], real[PATH_MAX];
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		cell_die(&c->cell, 'B', "cannot find the %s '%.300s' among the inputs", what, path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, real, sizeof(real) - 1);
	if (n < 0)
		cell_die(&c->cell, 'S', "cannot resolve the %s", what);
	real[n] = 0;
	size_t len = strlen(c->s->store_dir);
	errno = 0;
	if (strncmp(real, c->s->store_dir, len) != 0 || real[len] != '/')
		cell_die(&c->cell, 'B', "the %s '%.300s' is outside the store", what, path);
	int in = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	close(fd);
	return in;
}

/* The interpreter that the kernel would take from a "#!" line at the start of fd; NULL: none. */
static char *script_interpreter(int fd, char line[SCRIPT_LINE])
{
	ssize_t n = fd < 0 ? 0 : pread(fd, line, SCRIPT_LINE - 1, 0);
	if (n < 3 || memcmp(line, "#!", 2) != 0)
		return NULL;
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	char *p = line + 2 + strspn(line + 2, " \t");
	p[strcspn(p, " \t")] = 0;
	return *p ? p : NULL;
}

static void check_builder(struct child *c)
{
	char line[SCRIPT_LINE], *next;
	const char *what = "builder", *path = c->s->builder;
	for (unsigned i = 0; i < SCRIPT_DEPTH; i++) {
		int fd = check_program(c, what, path);
		next = script_interpreter(fd, line);
		close(fd);
		if (!next)
			return;
		what = "interpreter";
		path = next; /* used before line is read again */
	}
	/* The kernel refuses longer chains. */
}

/* Descriptors, session, keys, and no way to gain rights. */
static void tie_down(struct child *c)
{
	if (setsid() < 0)
		cell_die(&c->cell, 'S', "cannot make a session");
	cell_leave_keyring(&c->cell);
	if (dup2(c->null, 0) < 0 || dup2(c->s->log, 1) < 0 || dup2(c->s->log, 2) < 0)
		cell_die(&c->cell, 'S', "cannot set up standard input and output");
	kernel_close_range_cloexec(
		3); /* all are close-on-exec from birth; this catches the host's */
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, "1000", 4); /* advisory */
		close(fd);
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		cell_die(&c->cell, 'S', "cannot clear the ambient capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		cell_die(&c->cell, 'S', "cannot set no_new_privs");
	if (c->s->scoped)
		cell_scope(&c->cell);
	int r = filter_apply(c->filter);
	if (r) {
		errno = -r;
		cell_die(&c->cell, 'S', "cannot set the system call filter");
	}
}

/* ---- PID 1 ----------------------------------------------------------------------------------- */

/* The daemon's command line is no business of the builder, which could read it in /proc/1: make it
 * another. With a last byte that is not NUL the kernel shows the text up to the first that is. */
static void hide_arguments(struct child *c)
{
	static const char name[] = "builder-init";
	char buf[1024], *p;
	unsigned long start = 0, end = 0;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (n < 0)
		cell_die(&c->cell, 'S', "cannot read /proc/self/stat");
	close(fd);
	buf[n] = 0;
	p = strrchr(buf, ')'); /* ends the second field */
	for (unsigned field = 2; p && field < 48; field++)
		p = strchr(p + 1, ' ');
	if (p && sscanf(p, "%lu %lu", &start, &end) == 2 && end > start) {
		char *args = (char *)start; /* NOLINT: an address as text */
		memset(args, 0, end - start);
		memcpy(args, name, MIN_OF(sizeof(name), end - start - 1));
		args[end - start - 1] = '.';
	}
	(void)prctl(PR_SET_NAME, name, 0, 0, 0); /* cosmetic */
}

/* Nothing stays open but the end of the pipe to the daemon, and the lock of the id, which is so
 * taken until this process is gone, whatever happened to the daemon. */
static void close_all(struct child *c)
{
	int end = fcntl(c->end, F_DUPFD_CLOEXEC, 100);
	int lock = c->s->lock < 0 ? -1 : fcntl(c->s->lock, F_DUPFD_CLOEXEC, 100);
	if (end < 0 || dup2(end, 0) < 0 || (c->s->lock >= 0 && dup2(lock, 1) < 0))
		_exit(127);
	kernel_close_range(c->s->lock < 0 ? 1 : 2);
}

/* Reap until the builder ends, and tell how. Who asks to be traced by its parent gets no tracer. */
__attribute__((noreturn)) static void reap(struct child *c, pid_t builder)
{
	int status;
	close_all(c);
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);
		if (pid > 0 && WIFSTOPPED(status))
			proc_untrace(pid, status);
		else if (pid == builder)
			break;
		else if (pid < 0 && errno != EINTR)
			_exit(127);
	}
	(void)!write(0, &status, sizeof(status)); /* the daemon sees at least that we ended */
	_exit(0);
}

/* The builder's process, on a stack of its own: until it executes, its memory is that of PID 1,
 * which waits. Everything else it has for itself. */
static int builder_main(void *arg)
{
	struct child *c = arg;
	const struct sandbox *s = c->s;
	lock_mounts(c);
	limit_descriptors(c);
	limit_processes(c);
	set_personality(c);
	umask(022);
	if (chdir(s->cwd) < 0)
		cell_die(&c->cell, 'S', "cannot enter %s", s->cwd);
	check_builder(c);
	tie_down(c);
	/* Of the memory, so it is PID 1 that can be neither traced nor looked into, before there is
	 * anybody to do it; a program that was executed has memory of its own. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		cell_die(&c->cell, 'S', "cannot protect the first process");
	execve(s->builder, (char *const *)s->argv, (char *const *)s->envp);
	cell_die(&c->cell, 'B', "cannot execute the builder '%.300s'", s->builder);
}

/* This process stays as PID 1, out of reach of the builder, which is a child of it: it dies with
 * the daemon, and with it everything in the namespace. A fork would copy the daemon's memory a
 * second time, to throw it away at once. */
__attribute__((noreturn)) static void become_init(struct child *c)
{
	static _Alignas(16) char stack[BUILDER_STACK];
	cell_tie(&c->cell);
	hide_arguments(c);
	pid_t pid = clone(builder_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, c);
	if (pid < 0)
		cell_die(&c->cell, 'S', "cannot make the builder's process");
	reap(c, pid);
}

__attribute__((noreturn)) static void child_main(struct child *c)
{
	const struct sandbox *s = c->s;
	char go;
	cell_reset_signals();
	umask(0);
	if (read(c->cell.sync, &go, 1) != 1)
		_exit(127); /* the parent gave up */
	reopen_all(c);
	if (s->net)
		send_tap(c);
	cell_become(&c->cell, &c->id);
	c->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (c->null < 0)
		cell_die(&c->cell, 'S', "cannot open /dev/null");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		cell_die(&c->cell, 'S', "cannot make the mounts private");
	cell_make_root(&c->cell, c->place);
	make_dev(c);
	make_etc(c);
	cell_make_dir(&c->cell, "proc", 0555);
	if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		cell_die(&c->cell, 'S', "cannot mount /proc");
	cell_make_dir(&c->cell, "tmp", 0755);
	bind_fd(c, c->tmp, "tmp", CELL_MOUNT_SAFE);
	if (s->build_dir)
		bind_build_dir(c);
	cell_make_way(&c->cell, s->store_dir);
	bind_fd(c, c->store, s->store_dir + 1, CELL_MOUNT_SAFE);
	for (size_t i = 0; i < s->ninputs; i++)
		bind_input(c, s->inputs[i]);
	bind_extra(c);
	if (s->net)
		wait_net(c);
	else if (!s->host_net)
		make_net(c);
	if (sethostname("localhost", 9) < 0 || setdomainname("(none)", 6) < 0)
		cell_die(&c->cell, 'S', "cannot set the host name");
	cell_enter_root(&c->cell);
	become_init(c);
}

/* ---- Parent ---------------------------------------------------------------------------------- */

/* Take the device from the child, which may report instead, and have it served. */
static int serve_net(struct slirp *net, int sync, struct err *e)
{
	char kind;
	auto_fd int tap = -1;
	if (recv(sync, &kind, 1, MSG_PEEK) != 1 || kind != 'T') {
		int r = cell_read_report(sync, e);
		return r ? r : err_set(e, -ERR_SANDBOX, "the set-up of a build was killed");
	}
	int r = fd_recv(sync, &tap, &kind);
	if (r)
		return err_num(e, r, "cannot take the network device of a build");
	r = slirp_start(net, tap, e);
	if (!r && write(sync, "r", 1) != 1)
		r = err_sys(e, "cannot go on with the set-up of a build");
	return r;
}

int sandbox_start(const struct sandbox *s, struct proc *ret, int *ret_end, struct err *e)
{
	struct filter_prog filter;
	int r = filter_builder(&filter, e);
	if (r)
		return r;
	int pair[2], end[2], pidfd = -1;
	if (pipe2(end, O_CLOEXEC) < 0)
		return err_sys(e, "cannot make a pipe");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		r = err_sys(e, "cannot make a socket pair");
		close(end[0]);
		close(end[1]);
		return r;
	}
	struct child c = {
		.cell = { .sync = pair[1], .root = -1 },
		.id = { SANDBOX_UID, SANDBOX_GID, s->host_uid, s->host_gid, s->privileged },
		.s = s,
		.filter = &filter,
		.null = -1,
		.end = end[1],
	};
	uint64_t flags = NS_FLAGS | (s->host_net ? 0 : CLONE_NEWNET);
	pid_t pid = kernel_fork(flags | KERNEL_CLONE_CLEAR_SIGHAND, &pidfd);
	if (pid == 0) {
		close(pair[0]);
		child_main(&c);
	}
	r = pid < 0 ? cell_clone_error(e) : 0;
	close(pair[1]);
	close(end[1]);
	if (r) {
		close(pair[0]);
		close(end[0]);
		return r;
	}
	struct proc proc = { pid, pidfd };
	r = cell_write_maps(pid, &c.id, e);
	if (r)
		r = err_wrap(e, r, "while giving a build its identity");
	else if (write(pair[0], "g", 1) != 1)
		r = err_sys(e, "cannot start the set-up of a build");
	else if (s->net)
		r = serve_net(s->net, pair[0], e);
	if (!r)
		r = cell_read_report(pair[0], e);
	close(pair[0]);
	if (r) {
		proc_end(&proc);
		close(end[0]);
		return r;
	}
	*ret = proc;
	*ret_end = end[0];
	return 0;
}

int sandbox_status(int *end, int init_status)
{
	int status;
	if (*end >= 0 && fd_read_full(*end, &status, sizeof(status)) == 0)
		init_status = status;
	fd_close(end);
	return init_status;
}
