/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/final.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/swap.h>
#include <sys/wait.h>

#include "init/child.h"
#include "init/ops.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/size.h"

#define STEP_MS	   5000	 /* an unmount that takes longer hangs, and is left out */
#define SYNC_MS	   10000 /* without any progress */
#define HANGS_MAX  3
#define MOUNTS_MAX 256
#define ROUNDS	   4
#define LOOPS_MAX  64
#define LOOP_CLEAR 0x4c01

/* What the child is at, in memory that it shares with PID 1. */
struct progress {
	unsigned steps;
	char at[PATH_MAX];
};

static struct progress *progress;
static char hung[HANGS_MAX][PATH_MAX]; /* earlier children did not come back from these */
static unsigned nhung;
static bool on_machine;

/* false: it hung before. */
static bool begin(const char *path)
{
	for (unsigned i = 0; i < nhung; i++)
		if (strcmp(hung[i], path) == 0)
			return false;
	if (progress) {
		snprintf(progress->at, sizeof(progress->at), "%s", path);
		progress->steps++;
	}
	return true;
}

/* ---- tables of the kernel --------------------------------------------------------------------*/

static struct slice read_table(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t got;

	while (fd >= 0 && used < size - 1 &&
	       (got = fd_read_some(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)got;
	fd_close(&fd);
	return (struct slice){ buf, used };
}

/* Escapes (\040) are undone in place; the byte after the field becomes its end. */
static char *path_of(struct slice field)
{
	char *path = (char *)field.p, *out = path;

	for (size_t i = 0; i < field.n; i++) {
		const char *p = field.p + i;
		if (*p == '\\' && i + 3 < field.n) {
			*out++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + p[3] - '0');
			i += 3;
		} else {
			*out++ = *p;
		}
	}
	*out = '\0';
	return path;
}

struct mounted {
	const char *path;
	struct slice device; /* its numbers; major 0: none behind it */
	bool network;
};

/* They wait for a server that may be gone; in user space one may be as well. */
static bool is_network(struct slice type)
{
	static const char *const types[] = { "nfs", "cifs", "smb", "9p", "ceph", "afs", "fuse" };

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (slice_starts(type, types[i]))
			return true;
	return false;
}

/* In the order of mountinfo; borrowed from buf. */
static size_t read_mounts(char *buf, size_t size, struct mounted *out)
{
	struct slice rest = read_table("/proc/self/mountinfo", buf, size), line, field, path;
	size_t n = 0;

	while (n < MOUNTS_MAX && slice_cut(&rest, '\n', &line) && line.n > 0) {
		path = field = (struct slice){ 0 };
		for (int i = 0; i < 5; i++) {
			if (!slice_cut(&line, ' ', &path))
				path = (struct slice){ 0 };
			if (i == 2)
				out[n].device = path;
		}
		while (slice_cut(&line, ' ', &field) && !slice_is(field, "-"))
			;
		if (!path.p || !slice_cut(&line, ' ', &field))
			continue;
		out[n].network = is_network(field);
		out[n++].path = path_of(path);
	}
	return n;
}

/* ---- steps -----------------------------------------------------------------------------------*/

static void swap_off(void)
{
	char buf[4096];
	struct slice rest = read_table("/proc/swaps", buf, sizeof(buf)), line, field;

	(void)slice_cut(&rest, '\n', &line); /* headings */
	while (slice_cut(&rest, '\n', &line) && slice_cut(&line, ' ', &field) && field.n) {
		const char *path = path_of(field);
		if (begin(path) && swapoff(path) < 0)
			log_error("swap: stays path=%s why=\"%s\"", path, strerror(errno));
	}
}

/* One that is mounted says that it is busy. */
static bool detach_loops(void)
{
	bool some = false;

	for (unsigned i = 0; i < LOOPS_MAX; i++) {
		char path[48];
		snprintf(path, sizeof(path), "/sys/block/loop%u/loop/backing_file", i);
		if (access(path, F_OK) < 0)
			continue;
		snprintf(path, sizeof(path), "/dev/loop%u", i);
		int fd = begin(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (fd >= 0 && ioctl(fd, LOOP_CLEAR, 0) == 0)
			some = true;
		fd_close(&fd);
	}
	return some;
}

static bool is_kept(const char *p)
{
	return strcmp(p, "/") == 0 || strcmp(p, "/proc") == 0 || strcmp(p, "/sys") == 0 ||
	       strcmp(p, "/dev") == 0;
}

/* In use or not to be written: read-only, then aside. Of a network's nothing is asked that its
 * server would have to answer. */
static void put_aside(const struct mounted *m, const struct mounted *root)
{
	/* PID 1 itself is in some, and what has no device of its own loses nothing. */
	bool harmless =
		!m->network && (slice_starts(m->device, "0:") || slice_eq(m->device, root->device));
	const char *how = "";

	if (!begin(m->path))
		return; /* that it hangs was said */
	if (!m->network && mount(NULL, m->path, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0)
		how = " read-only=yes";
	if (umount2(m->path, MNT_DETACH | UMOUNT_NOFOLLOW | (m->network ? MNT_FORCE : 0)) < 0) {
		if (errno != EINVAL) /* it went with the one below it */
			log_error("unmount: stays path=%s why=\"%s\"%s", m->path, strerror(errno),
				  how);
	} else if (harmless) {
		log_info("unmount: put aside path=%s%s", m->path, how);
	} else {
		log_error("unmount: in use, put aside path=%s%s", m->path, how);
	}
}

/* true: something went, so another round may find more. */
static bool unmount_round(bool last)
{
	static char buf[65536];
	static struct mounted mounts[MOUNTS_MAX];
	size_t n = read_mounts(buf, sizeof(buf), mounts);
	const struct mounted none = { .path = "" }, *root = &none;
	bool some = false;

	for (size_t i = 0; i < n; i++)
		if (strcmp(mounts[i].path, "/") == 0)
			root = &mounts[i];
	for (size_t i = n; i-- > 0;) {
		if (is_kept(mounts[i].path))
			continue;
		if (last)
			put_aside(&mounts[i], root);
		else if (begin(mounts[i].path))
			some |= umount2(mounts[i].path, UMOUNT_NOFOLLOW) == 0;
	}
	return (on_machine && detach_loops()) || some;
}

/* Swap and loop devices are the machine's, not a container's, however much that may do. */
static int unmount_all(void *unused)
{
	(void)unused;
	if (on_machine)
		swap_off();
	for (int i = 0; i < ROUNDS && unmount_round(false); i++)
		;
	(void)unmount_round(true);
	if (begin("/") && mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		log_error("unmount: root stays writable why=\"%s\"", strerror(errno));
	return 0;
}

static int sync_all(void *unused)
{
	(void)unused;
	sync();
	return 0;
}

/* ---- in time ---------------------------------------------------------------------------------*/

/* Kilobytes that the disks still have to get. */
static unsigned unwritten(void)
{
	static const char *const keys[] = { "Dirty:", "Writeback:" };
	char buf[4096];
	struct slice rest = read_table("/proc/meminfo", buf, sizeof(buf)), line;
	unsigned sum = 0;

	while (slice_cut(&rest, '\n', &line))
		for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
			unsigned value = 0;
			for (size_t i = 0; slice_starts(line, keys[k]) && i < line.n; i++)
				if (line.p[i] >= '0' && line.p[i] <= '9')
					value = value * 10 + (unsigned)(line.p[i] - '0');
			sum += value;
		}
	return sum;
}

static unsigned get_progress(bool syncing)
{
	return syncing ? unwritten() : progress ? progress->steps : 0;
}

/* false: the child hangs, and is left behind with a KILL. */
static bool run(int (*fn)(void *arg))
{
	bool syncing = fn == sync_all;
	unsigned before;
	int pidfd = -1, r;
	pid_t pid;

	if (child_fork(fn, NULL, &pid, &pidfd) < 0) {
		(void)fn(NULL);
		return true;
	}
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	do {
		before = get_progress(syncing);
		r = poll(&p, 1, syncing ? SYNC_MS : STEP_MS);
	} while (r == 0 && get_progress(syncing) != before);
	if (r == 1)
		(void)waitpid(pid, NULL, 0);
	else
		ops_pidfd_signal(pidfd, SIGKILL);
	fd_close(&pidfd);
	return r == 1;
}

static void sync_in_time(void)
{
	if (!run(sync_all))
		log_error("sync: hangs, going on");
}

void final_unmount(void)
{
	bool whole = getpid() != 1;

	on_machine = reboot(RB_DISABLE_CAD) == 0; /* a container may not */
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (progress == MAP_FAILED)
		progress = NULL;
	sync_in_time(); /* what is still to be written makes no unmount look as if it hung */
	while (!whole && !(whole = run(unmount_all)) && nhung < HANGS_MAX) {
		const char *at = progress ? progress->at : "";
		log_error("unmount: hangs, going on path=%s", at);
		snprintf(hung[nhung++], PATH_MAX, "%s", at);
	}
	sync_in_time();
}

void final_reboot(int cmd)
{
	int r = reboot(cmd);

	if (r < 0 && cmd == FINAL_KEXEC) {
		log_error("kexec: no kernel is loaded, rebooting why=\"%s\"", strerror(errno));
		r = reboot(RB_AUTOBOOT);
	}
	if (r < 0)
		log_info("reboot: not allowed why=\"%s\"", strerror(errno));
}
