/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "init/numbers.h"
#include "init/ops.h"
#include "init/spare.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/size.h"
#include "lib/slice.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define CGROUP2_MAGIC 0x63677270
#define MOUNT	      "/sys/fs/cgroup"
#define DEPTH_MAX     8

static int base = -1; /* <mount>/service */
static bool may_stay; /* PID 1 is in the root group, where it may be for now */

static int write_at(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = fd_write_full(fd, text, strlen(text));
	fd_close(&fd);
	return r;
}

static void enable_controllers(int dir)
{
	static const char *const names[] = { "+memory", "+pids", "+cpu", "+io" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)write_at(dir, "cgroup.subtree_control", names[i]); /* limits say it later */
}

static void say_none(const char *why)
{
	log_info("cgroup: none, by process group why=\"%s\"", why);
}

void cgroup_init(void)
{
	struct statfs fs;
	struct stat st;
	int r = 0, root;

	/* Somebody else's PID 1 rules the groups; the root of the hierarchy is not ours to change.
	 */
	if (getpid() != 1) {
		say_none("not PID 1");
		return;
	}
	root = open(MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || fstatfs(root, &fs) < 0 || fs.f_type != CGROUP2_MAGIC) {
		say_none("no cgroup2");
		fd_close(&root);
		return;
	}
	if (mkdirat(root, "init", 0755) < 0 && errno != EEXIST)
		r = -errno;
	/* A move waits until all processors have passed a quiet state, ten milliseconds and more.
	 * Only the root of the hierarchy has no type, and may have processes beside groups. */
	may_stay = fstatat(root, "cgroup.type", &st, 0) < 0;
	if (r == 0 && !may_stay)
		r = write_at(root, "init/cgroup.procs", "0");
	enable_controllers(root);
	if (r == 0 && mkdirat(root, "service", 0755) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0) {
		base = openat(root, "service", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (base < 0)
			r = -errno;
		else
			enable_controllers(base);
	}
	if (r < 0)
		say_none(strerror(-r));
	fd_close(&root);
}

void cgroup_leave_root(pid_t logger)
{
	char number[16];
	int root = may_stay && cgroup_on() ? open(MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (root < 0)
		return;
	may_stay = false;
	(void)write_at(root, "init/cgroup.procs", "0");
	snprintf(number, sizeof(number), "%d", (int)logger);
	if (logger > 0)
		(void)write_at(root, "init/cgroup.procs", number);
	fd_close(&root);
}

bool cgroup_on(void)
{
	return base >= 0;
}

/* A group with controllers for those below it takes no processes, so what the service made of its
 * group the last time, and somebody still drains in, is undone as far as that goes. */
static void disable_controllers(int dir)
{
	char buf[256], text[64];
	int fd = openat(dir, "cgroup.subtree_control", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : fd_read_some(fd, buf, sizeof(buf));
	struct slice rest = slice_trim((struct slice){ buf, n > 0 ? (size_t)n : 0 }), word;

	fd_close(&fd);
	while (rest.n && slice_cut(&rest, ' ', &word)) {
		snprintf(text, sizeof(text), "-%.*s", (int)word.n, word.p);
		(void)write_at(dir, "cgroup.subtree_control", text); /* the start says it */
	}
}

static void say_not_set(const struct svc_def *d, const char *file, const char *why)
{
	log_warn("cgroup: limit not set name=%s file=%s why=\"%s\"", d->name, file, why);
}

static void write_limit(int dir, const struct svc_def *d, const char *file, const char *text)
{
	int r = write_at(dir, file, text);

	if (r < 0)
		say_not_set(d, file, strerror(-r));
}

/* Every group costs the kernel more with it, so it comes with the first service that asks. */
static void write_cpu_set(int dir, const struct svc_def *d)
{
	int root = open(MOUNT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root >= 0)
		(void)write_at(root, "cgroup.subtree_control", "+cpuset");
	(void)write_at(base, "cgroup.subtree_control", "+cpuset"); /* the limit says it */
	fd_close(&root);
	write_limit(dir, d, "cpuset.cpus", d->cgroup.cpu_set);
}

/* "/dev/x KEY=VALUE…", where the kernel wants the numbers of the device. */
static void write_io_max(int dir, const struct svc_def *d, const char *limit)
{
	char text[256], device[128];
	size_t n = strcspn(limit, " ");
	struct stat st;

	if (limit[0] != '/') {
		write_limit(dir, d, "io.max", limit);
		return;
	}
	snprintf(device, sizeof(device), "%.*s", (int)n, limit);
	if (stat(device, &st) < 0 || !S_ISBLK(st.st_mode)) {
		say_not_set(d, "io.max", strerror(ENOTBLK));
		return;
	}
	snprintf(text, sizeof(text), "%u:%u%s", major(st.st_rdev), minor(st.st_rdev), limit + n);
	write_limit(dir, d, "io.max", text);
}

static void write_limits(int dir, const struct svc_def *d)
{
	const struct svc_cgroup *c = &d->cgroup;
	const struct {
		const char *file;
		uint64_t value;
	} rows[] = {
		{ "memory.max", c->memory_max }, { "memory.high", c->memory_high },
		{ "pids.max", c->pids_max },	 { "cpu.weight", c->cpu_weight },
		{ "io.weight", c->io_weight },
	};
	char text[24];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!rows[i].value)
			continue;
		snprintf(text, sizeof(text), "%llu", (unsigned long long)rows[i].value);
		write_limit(dir, d, rows[i].file, text);
	}
	if (c->cpu_max)
		write_limit(dir, d, "cpu.max", c->cpu_max);
	if (c->cpu_set)
		write_cpu_set(dir, d);
	for (size_t i = 0; i < c->io_max.n; i++)
		write_io_max(dir, d, c->io_max.v[i]);
}

/* The group belongs to uid; its processes start in the sub-group main. Takes dir. */
static int delegate(int dir, uid_t uid, gid_t gid)
{
	static const char *const files[] = { "cgroup.procs", "cgroup.subtree_control",
					     "cgroup.threads" };
	int sub, r = 0;

	if (mkdirat(dir, "main", 0755) < 0 && errno != EEXIST)
		r = -errno;
	sub = openat(dir, "main", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sub < 0)
		r = -errno;
	else
		disable_controllers(sub);
	for (int k = 0; r == 0 && k < 2; k++) {
		int g = k ? sub : dir;
		if (fchown(g, uid, gid) < 0)
			r = -errno;
		for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++)
			(void)fchownat(g, files[i], uid, gid, 0); /* not all kernels have all */
	}
	fd_close(&dir);
	if (r < 0)
		fd_close(&sub);
	return r < 0 ? r : sub;
}

int cgroup_open(const struct svc_def *d, uid_t uid, gid_t gid)
{
	bool made = mkdirat(base, d->name, 0755) == 0;

	if (!made && errno != EEXIST)
		return -errno;
	int dir = openat(base, d->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (made)
		write_limits(dir, d);
	else if (!d->cgroup.delegate)
		disable_controllers(dir);
	return d->cgroup.delegate ? delegate(dir, uid, gid) : dir;
}

static int open_file(const char *name, const char *file, int flags)
{
	char path[LIMIT_SVC_NAME + 32];

	if (base < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", name, file);
	int fd = openat(base, path, flags | O_CLOEXEC);
	return fd < 0 && spare_lend(errno, 0) ? openat(base, path, flags | O_CLOEXEC) : fd;
}

/* The number may be another's by the time it is used; what its descriptor names may not. */
static void kill_one(const char *name, pid_t pid)
{
	char of[LIMIT_SVC_NAME + 1];
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (cgroup_service_of(pid, of) && strcmp(of, name) == 0)
		ops_pidfd_signal(fd, SIGKILL);
	fd_close(&fd);
}

static void kill_each(const char *name)
{
	char buf[2048];
	int fd = open_file(name, "cgroup.procs", O_RDONLY);
	pid_t pid = 0;
	ssize_t n;

	while (fd >= 0 && (n = fd_read_some(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
			} else if (pid > 1) {
				kill_one(name, pid);
				pid = 0;
			}
		}
	}
	fd_close(&fd);
}

void cgroup_kill(const char *name)
{
	int fd = open_file(name, "cgroup.kill", O_WRONLY);

	if (fd >= 0)
		(void)fd_write_full(fd, "1", 1); /* left_over() sees whether it worked */
	else if (errno == ENOENT)
		kill_each(name); /* before Linux 5.14 */
	fd_close(&fd);
}

bool cgroup_populated(const char *name)
{
	char buf[128] = "";
	int fd = open_file(name, "cgroup.events", O_RDONLY);

	if (fd < 0)
		return spare_is_short(errno); /* who asks looks again */
	ssize_t n = fd_read_some(fd, buf, sizeof(buf) - 1);
	fd_close(&fd);
	struct slice rest = { buf, n > 0 ? (size_t)n : 0 }, line;
	while (slice_cut(&rest, '\n', &line))
		if (slice_is(line, "populated 1"))
			return true;
	return false;
}

struct group {
	int dir, depth;
};

static void remove_tree(int parent, const char *name, int depth);

static void remove_below(const char *name, unsigned char type, void *arg)
{
	const struct group *g = arg;

	if (type == 4 /* DT_DIR */ && name[0] != '.')
		remove_tree(g->dir, name, g->depth + 1);
}

/* rmdir of a tree of groups, deepest first. */
static void remove_tree(int parent, const char *name, int depth)
{
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT || depth == DEPTH_MAX)
		return;
	struct group g = { openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW),
			   depth };
	if (g.dir >= 0)
		(void)numbers_names(g.dir, remove_below, &g);
	fd_close(&g.dir);
	(void)unlinkat(parent, name, AT_REMOVEDIR); /* busy: somebody still drains there */
}

void cgroup_remove(const char *name)
{
	if (base >= 0)
		remove_tree(base, name, 0);
}

bool cgroup_service_of(pid_t pid, char name[LIMIT_SVC_NAME + 1])
{
	char path[40], buf[512];
	const char *at, *end;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : fd_read_some(fd, buf, sizeof(buf) - 1);
	fd_close(&fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	struct slice rest = { buf, (size_t)n }, line;
	do {
		if (!slice_cut(&rest, '\n', &line))
			return false;
	} while (!slice_starts(line, "0::"));
	for (; !slice_starts(line, "/service/"); line.p++, line.n--)
		if (line.n == 0)
			return false;
	at = line.p + strlen("/service/");
	end = at + strcspn(at, "/\n");
	if (end == at || end - at > LIMIT_SVC_NAME)
		return false;
	memcpy(name, at, (size_t)(end - at));
	name[end - at] = '\0';
	return true;
}
