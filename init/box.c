/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/box.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/fd.h"
#include "lib/size.h"

/* The same numbers in all tables that have them; older headers do not know them. */
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define TREE_CLONE     1u
#define TREE_CLOEXEC   ((unsigned)O_CLOEXEC)
#define TREE_RECURSIVE 0x8000u
#define FROM_EMPTY     4u
#define ATTR_RDONLY    1ull
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

#define FILTER_MAX (4096u * 8) /* the kernel takes 4096 instructions */

static int fail(struct box_fail *f, const char *step, const char *object)
{
	f->step = step;
	f->object = object;
	return -errno;
}

/* ---- mounts ----------------------------------------------------------------------------------*/

static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty", "log" };

/* What is bound is taken hold of before anything is mounted over it. */
static struct {
	int bind[LIMIT_SVC_MOUNTS], device[ARRAY_LEN(devices)];
	void *filter;
	size_t filter_size;
} held;

static int hold(const char *path)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, path,
			    TREE_CLONE | TREE_CLOEXEC | TREE_RECURSIVE);
}

static int put(int tree, const char *path)
{
	return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, path, FROM_EMPTY);
}

static int attributes(int dir, const char *path, bool read_only)
{
	struct {
		uint64_t set, clear, propagation, userns;
	} a = { .set = read_only ? ATTR_RDONLY : 0, .clear = read_only ? 0 : ATTR_RDONLY };

	return (int)syscall(SYS_mount_setattr, dir, path,
			    TREE_RECURSIVE | (*path ? 0 : AT_EMPTY_PATH), &a, sizeof(a));
}

/* A mount and all below it; what is no mount becomes one. */
static int set_writable(const char *path, bool writable)
{
	int r = attributes(AT_FDCWD, path, !writable);

	if (r == 0 || errno != EINVAL)
		return r;
	r = mount(path, path, NULL, MS_BIND | MS_REC, NULL);
	return r < 0 ? r : attributes(AT_FDCWD, path, !writable);
}

static int make_inaccessible(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode))
		return mount("/dev/null", path, NULL, MS_BIND, NULL);
	return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
		     "mode=000,nr_inodes=2");
}

/* Settings of the kernel, raw memory, control groups. What the machine does not have is skipped. */
static int protect_kernel(const struct svc_def *d, struct box_fail *f)
{
	static const char *const paths[] = { "/proc/sys", "/proc/sysrq-trigger",
					     "/proc/irq", "/proc/bus",
					     "/proc/fs",  "/sys" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (set_writable(paths[i], false) < 0 && errno != ENOENT)
			return fail(f, "protect-kernel", paths[i]);
	if (d->cgroup.delegate && attributes(AT_FDCWD, "/sys/fs/cgroup", false) < 0 &&
	    errno != ENOENT)
		return fail(f, "protect-kernel", "/sys/fs/cgroup");
	if (make_inaccessible("/proc/kcore") < 0 && errno != ENOENT)
		return fail(f, "protect-kernel", "/proc/kcore");
	return 0;
}

static int private_tmp(struct box_fail *f)
{
	static const char *const paths[] = { "/tmp", "/var/tmp" };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (mount("tmpfs", paths[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0 &&
		    (i == 0 || errno != ENOENT))
			return fail(f, "private-tmp", paths[i]);
	return 0;
}

static int hold_devices(struct box_fail *f)
{
	char path[24];

	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		snprintf(path, sizeof(path), "/dev/%s", devices[i]);
		held.device[i] = hold(path);
		if (held.device[i] < 0 && errno != ENOENT)
			return fail(f, "private-dev", devices[i]);
	}
	return 0;
}

/* Devices that harm nobody, terminals and shared memory of its own. */
static int private_dev(struct box_fail *f)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },	      { "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" }, { "/proc/self/fd/2", "/dev/stderr" },
		{ "pts/ptmx", "/dev/ptmx" },
	};
	char path[24];

	if (mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k") < 0)
		return fail(f, "private-dev", NULL);
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		if (held.device[i] < 0)
			continue;
		snprintf(path, sizeof(path), "/dev/%s", devices[i]);
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		fd_close(&fd);
		if (put(held.device[i], path) < 0)
			return fail(f, "private-dev", devices[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			return fail(f, "private-dev", links[i][1]);
	if (mkdir("/dev/pts", 0755) < 0 || mkdir("/dev/shm", 01777) < 0 ||
	    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0 ||
	    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		  "newinstance,mode=0620,ptmxmode=0666") < 0)
		return fail(f, "private-dev", "terminals and shared memory");
	return 0;
}

static const char *const kind_names[SVC_MOUNT_KINDS] = {
	[SVC_MOUNT_READ_ONLY] = "read-only-paths",
	[SVC_MOUNT_READ_WRITE] = "read-write-paths",
	[SVC_MOUNT_BIND] = "bind-paths",
	[SVC_MOUNT_BIND_READ_ONLY] = "bind-read-only-paths",
	[SVC_MOUNT_INACCESSIBLE] = "inaccessible-paths",
};

static bool is_bind(const struct svc_mount *m)
{
	return m->kind == SVC_MOUNT_BIND || m->kind == SVC_MOUNT_BIND_READ_ONLY;
}

static int hold_binds(const struct svc_box *b, struct box_fail *f)
{
	for (size_t i = 0; i < b->nmounts; i++) {
		const struct svc_mount *m = &b->mounts[i];
		if (!is_bind(m))
			continue;
		held.bind[i] = hold(m->from);
		if (held.bind[i] < 0 && !(m->optional && errno == ENOENT))
			return fail(f, kind_names[m->kind], m->from);
		if (held.bind[i] >= 0 && m->kind == SVC_MOUNT_BIND_READ_ONLY &&
		    attributes(held.bind[i], "", true) < 0)
			return fail(f, kind_names[m->kind], m->from);
	}
	return 0;
}

static int place(const struct svc_mount *m, int tree)
{
	switch (m->kind) {
	case SVC_MOUNT_READ_ONLY:
		return set_writable(m->to, false);
	case SVC_MOUNT_READ_WRITE:
		return set_writable(m->to, true);
	case SVC_MOUNT_INACCESSIBLE:
		return make_inaccessible(m->to);
	default:
		return tree < 0 ? 0 : put(tree, m->to);
	}
}

static int place_all(const struct svc_box *b, enum svc_mount_kind first, enum svc_mount_kind last,
		     struct box_fail *f)
{
	for (unsigned kind = first; kind <= last; kind++) {
		for (size_t i = 0; i < b->nmounts; i++) {
			const struct svc_mount *m = &b->mounts[i];
			if (m->kind == kind && place(m, held.bind[i]) < 0 &&
			    !(m->optional && errno == ENOENT))
				return fail(f, kind_names[kind], m->to);
		}
	}
	return 0;
}

/* The old root is gone, not only out of reach. */
static int change_root(const char *root, struct box_fail *f)
{
	if (mount(root, root, NULL, MS_BIND | MS_REC, NULL) < 0 || chdir(root) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return fail(f, "root-directory", root);
	return 0;
}

static int mount_all(const struct svc_def *d, struct box_fail *f)
{
	const struct svc_box *b = &d->box;
	int r;

	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return fail(f, "namespaces", "/");
	r = hold_binds(b, f);
	if (r == 0 && svc_box_on(b, SVC_BOX_DEV))
		r = hold_devices(f);
	if (r == 0 && b->root)
		r = change_root(b->root, f);
	if (r == 0 && svc_box_on(b, SVC_BOX_PIDS) &&
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		r = fail(f, "private-pids", "/proc");
	if (r == 0 && svc_box_on(b, SVC_BOX_KERNEL))
		r = protect_kernel(d, f);
	if (r == 0)
		r = place_all(b, SVC_MOUNT_READ_ONLY, SVC_MOUNT_READ_WRITE, f);
	if (r == 0 && svc_box_on(b, SVC_BOX_TMP))
		r = private_tmp(f);
	if (r == 0 && svc_box_on(b, SVC_BOX_DEV))
		r = private_dev(f);
	return r < 0 ? r : place_all(b, SVC_MOUNT_BIND, SVC_MOUNT_INACCESSIBLE, f);
}

/* ---- namespaces ------------------------------------------------------------------------------*/

static int loopback_up(struct box_fail *f)
{
	struct ifreq i = { .ifr_name = "lo" };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0 || ioctl(s, SIOCGIFFLAGS, &i) < 0)
		return fail(f, "private-network", "lo");
	i.ifr_flags |= IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &i) < 0)
		return fail(f, "private-network", "lo");
	fd_close(&s);
	return 0;
}

/* Joining leads to the root of the namespace, which is not that of the process when PID 1 itself is
 * below it. */
static int join_process(int join, pid_t pid, int flags, struct box_fail *f)
{
	static char path[32];
	int root;

	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || setns(join, flags) < 0)
		return fail(f, "namespaces", NULL);
	if (flags & CLONE_NEWNS && (fchdir(root) < 0 || chroot(".") < 0))
		return fail(f, "namespaces", path);
	fd_close(&root);
	return 0;
}

int box_enter(const struct svc_def *d, int join, pid_t pid, struct box_fail *f)
{
	const struct svc_box *b = &d->box;
	bool network = svc_box_on(b, SVC_BOX_NETWORK);
	int flags = (b->mount ? CLONE_NEWNS : 0) | (network ? CLONE_NEWNET : 0);

	if (!flags)
		return 0;
	if (join >= 0)
		return join_process(join, pid, flags, f);
	if (unshare(flags) < 0)
		return fail(f, "namespaces", NULL);
	int r = network ? loopback_up(f) : 0;
	return r < 0 || !b->mount ? r : mount_all(d, f);
}

/* ---- capabilities ----------------------------------------------------------------------------*/

struct caps {
	uint32_t effective, permitted, inheritable;
};

static long cap_call(long number, struct caps c[2])
{
	struct {
		uint32_t version;
		int pid;
	} head = { 0x20080522, 0 };

	return syscall(number, &head, c);
}

int box_bound(const struct svc_box *b, bool change_user, struct box_fail *f)
{
	for (unsigned long c = 0; b->bounded && c < 64; c++) {
		if (b->bounding >> c & 1 || prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			break; /* the kernel knows no more */
		return fail(f, "capabilities", NULL);
	}
	if (change_user && (b->ambient | b->inheritable) && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return fail(f, "capabilities", NULL);
	return 0;
}

int box_raise(const struct svc_box *b, bool change_user, struct box_fail *f)
{
	uint64_t all = b->ambient | b->inheritable;
	struct caps c[2];

	if (!all)
		return 0;
	if (cap_call(SYS_capget, c) < 0)
		return fail(f, "capabilities", NULL);
	for (int i = 0; i < 2; i++) {
		c[i].inheritable = (uint32_t)(all >> (32 * i));
		if (change_user) {
			c[i].permitted = c[i].inheritable;
			c[i].effective = 0;
		}
	}
	if (cap_call(SYS_capset, c) < 0)
		return fail(f, "capabilities", NULL);
	for (unsigned long n = 0; n < 64; n++)
		if (b->ambient >> n & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, 0, 0) < 0)
			return fail(f, "ambient-capabilities", NULL);
	return 0;
}

/* ---- system calls ----------------------------------------------------------------------------*/

int box_find_filter(const struct svc_box *b, struct box_fail *f)
{
	struct stat st;

	if (!b->seccomp)
		return 0;
	int fd = open(b->seccomp, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(f, "seccomp", b->seccomp);
	errno = EINVAL;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > FILTER_MAX || st.st_size % 8)
		return fail(f, "seccomp", b->seccomp);
	held.filter_size = (size_t)st.st_size;
	held.filter = mmap(NULL, held.filter_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (held.filter == MAP_FAILED)
		return fail(f, "seccomp", b->seccomp);
	fd_close(&fd);
	return 0;
}

int box_load_filter(const struct svc_box *b, struct box_fail *f)
{
	struct {
		unsigned short len;
		void *filter;
	} prog = { (unsigned short)(held.filter_size / 8), held.filter };

	if (b->seccomp && prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, &prog) < 0)
		return fail(f, "seccomp", b->seccomp);
	return 0;
}
