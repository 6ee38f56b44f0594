/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/probe.h"

#include <blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "lib/confine.h"
#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "lib/text.h"

#define LIMIT_DEVICES_TEXT (256u << 10)
#define LIMIT_PARTITION	   65536
#define LIMIT_ATTRIBUTE	   4096
#define LIMIT_MEMORY	   (256u << 20)
#define NOBODY		   65534
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* What is looked at: descriptors of the device and, for a partition, of the disk it is on. */
struct sight {
	int fd, disk;	 /* owned; -1: none */
	uint64_t number; /* of the partition; 0: none */
};

struct answer {
	int r;
	struct probe found;
};

/* ---- In the child: the library ----------------------------------------------------------------
 */

static void copy(const char *value, char *out, size_t size)
{
	if (value)
		(void)snprintf(out, size, "%s", value); /* a longer one matches nothing */
}

static void take(blkid_probe p, const char *name, char *out, size_t size)
{
	const char *value;

	if (blkid_probe_lookup_value(p, name, &value, NULL) == 0)
		copy(value, out, size);
}

static int look_inside(blkid_probe p, struct probe *ret)
{
	blkid_probe_enable_superblocks(p, 1);
	blkid_probe_set_superblocks_flags(p, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID |
						     BLKID_SUBLKS_TYPE);
	errno = 0;
	int r = blkid_do_safeprobe(p);
	if (r == -2)
		return -ENOTUNIQ;
	if (r < 0)
		return errno ? -errno : -EIO;
	take(p, "TYPE", ret->type, sizeof(ret->type));
	take(p, "LABEL", ret->label, sizeof(ret->label));
	take(p, "UUID", ret->uuid, sizeof(ret->uuid));
	return 0;
}

/* The disk's table has a name and UUID for each partition. */
static void look_at_table(blkid_probe disk, uint64_t number, struct probe *ret)
{
	blkid_partlist all = blkid_probe_get_partitions(disk);
	blkid_partition one = all ? blkid_partlist_get_partition_by_partno(all, (int)number) : NULL;

	if (!one)
		return;
	copy(blkid_partition_get_uuid(one), ret->partuuid, sizeof(ret->partuuid));
	copy(blkid_partition_get_name(one), ret->partlabel, sizeof(ret->partlabel));
	copy(blkid_partition_get_type_string(one), ret->parttype, sizeof(ret->parttype));
}

/* ---- In the child: without rights ------------------------------------------------------------ */

/* One of the two holds everywhere: a namespace may have no other user, a kernel no filters. */
static int drop_rights(int ms)
{
	const char *step;

#ifndef __SANITIZE_ADDRESS__ /* which reserves more */
	const struct rlimit memory = { LIMIT_MEMORY, LIMIT_MEMORY };
	(void)setrlimit(RLIMIT_AS, &memory);
#endif
	bool other = geteuid() != 0 ||
		     (setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
	int r = confine_self((uint64_t)ms / 1000 + 1, &step);
	return other ? 0 : r;
}

/* Descriptors 0, 1, 2 become the device, the pipe and the disk; others are closed. */
static int keep_only(const struct sight *s, int out)
{
	int from[3] = { s->fd, out, s->disk };

	for (int i = 0; i < 3; i++)
		if (from[i] >= 0 && (from[i] = fcntl(from[i], F_DUPFD, 3)) < 0)
			return -errno;
	for (int i = 0; i < 3; i++)
		if (from[i] >= 0 ? dup2(from[i], i) < 0 : close(i) < 0 && errno != EBADF)
			return -errno;
	return syscall(SYS_close_range, 3U, ~0U, 0U) < 0 ? -errno : 0;
}

/* The library asks /sys and the device what it is, and only then reads what somebody wrote. */
static int look(const struct sight *s, int ms, struct probe *ret)
{
	blkid_probe p = blkid_new_probe(), disk = s->number ? blkid_new_probe() : NULL;

	if (!p || (s->number && !disk))
		return -ENOMEM;
	if (blkid_probe_set_device(p, 0, 0, 0) < 0)
		return -EIO;
	if (disk && blkid_probe_set_device(disk, 2, 0, 0) < 0)
		return -EIO;
	int r = drop_rights(ms);
	if (r == 0)
		r = look_inside(p, ret);
	if (disk && (r == 0 || r == -ENOTUNIQ))
		look_at_table(disk, s->number, ret);
	return r; /* the end of the process frees both */
}

_Noreturn static void child(const struct sight *s, int out, int ms)
{
	struct answer a = { 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	a.r = keep_only(s, out);
	if (a.r == 0) {
		a.r = look(s, ms, &a.found);
		(void)fd_write_full(1, &a, sizeof(a)); /* too little is no answer */
	}
	_exit(0);
}

/* ---- In the parent --------------------------------------------------------------------------- */

/* The disk that a partition is on: above it in /sys. -1 when it cannot be told. */
static int open_disk(const char *partition)
{
	auto_str struct str text = STR_INIT;
	struct slice rest, line;
	struct err ignored = ERR_INIT;
	uint64_t number[2] = { 0, 0 };
	char path[PATH_MAX] = "";
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/../uevent", partition);
	if (file_read(AT_FDCWD, path, &text, LIMIT_ATTRIBUTE, &ignored) < 0)
		return -1;
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line)) {
		struct slice value = line, key;
		if (!slice_cut(&value, '=', &key))
			continue;
		if (slice_is(key, "MAJOR") || slice_is(key, "MINOR"))
			(void)text_u64(value, UINT32_MAX, &number[slice_is(key, "MINOR")]);
		else if (slice_is(key, "DEVNAME"))
			(void)snprintf(path, sizeof(path), "/dev/%.*s", (int)value.n, value.p);
	}
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) ||
	    st.st_rdev != makedev((unsigned)number[0], (unsigned)number[1]))
		return -1;
	return fd_take(&fd);
}

static int sight_open(const char *path, struct sight *s)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;
	char sys[64], name[80];
	struct stat st;

	*s = (struct sight){ .fd = open(path, O_RDONLY | O_CLOEXEC), .disk = -1 };
	if (s->fd < 0 || fstat(s->fd, &st) < 0)
		return -errno;
	if (!S_ISBLK(st.st_mode))
		return 0;
	(void)snprintf(sys, sizeof(sys), "/sys/dev/block/%u:%u", major(st.st_rdev),
		       minor(st.st_rdev));
	(void)snprintf(name, sizeof(name), "%s/partition", sys);
	if (file_read(AT_FDCWD, name, &text, LIMIT_ATTRIBUTE, &ignored) == 0 &&
	    text_u64(slice_trim(str_slice(&text)), LIMIT_PARTITION, &s->number) == 0)
		s->disk = open_disk(sys);
	return 0;
}

static void sight_close(struct sight *s)
{
	fd_close(&s->fd);
	fd_close(&s->disk);
}

static int receive(int fd, int ms, struct answer *ret)
{
	uint64_t now, until = loop_now() + (uint64_t)ms * 1000000;
	size_t have = 0;

	while (have < sizeof(*ret)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if ((now = loop_now()) >= until)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)((until - now) / 1000000) + 1) <= 0)
			continue;
		ssize_t n = fd_read_some(fd, (char *)ret + have, sizeof(*ret) - have);
		if (n <= 0)
			return -EIO; /* it died of what it saw */
		have += (size_t)n;
	}
	return ret->r > 0 ? -EIO : ret->r;
}

/* A child that waits for a broken disk cannot die before that answers, and is not waited for. */
static void end_child(pid_t pid, int fd)
{
	struct pollfd p = { .fd = fd };

	(void)kill(pid, SIGKILL);
	int flags = poll(&p, 1, 1000) > 0 ? 0 : WNOHANG; /* the pipe has no other end any more */
	while (waitpid(pid, NULL, flags) < 0 && errno == EINTR)
		;
}

/* The child may have been taken over: nothing of this is text before it has an end. */
static void close_texts(struct probe *p)
{
	p->type[sizeof(p->type) - 1] = '\0';
	p->label[sizeof(p->label) - 1] = '\0';
	p->uuid[sizeof(p->uuid) - 1] = '\0';
	p->partuuid[sizeof(p->partuuid) - 1] = '\0';
	p->partlabel[sizeof(p->partlabel) - 1] = '\0';
	p->parttype[sizeof(p->parttype) - 1] = '\0';
}

static int ask(const struct sight *s, int ms, struct answer *ret)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	int r = pid < 0 ? -errno : 0;
	if (pid == 0)
		child(s, p[1], ms);
	fd_close(&p[1]);
	if (r == 0) {
		r = receive(p[0], ms, ret);
		end_child(pid, p[0]);
	}
	fd_close(&p[0]);
	return r;
}

int probe_device_within(const char *path, int ms, struct probe *ret)
{
	struct answer a = { 0 };
	struct sight s;

	int r = sight_open(path, &s);
	if (r == 0)
		r = ask(&s, ms, &a);
	sight_close(&s);
	close_texts(&a.found);
	if (r == 0)
		*ret = a.found;
	return r;
}

int probe_device(const char *path, struct probe *ret)
{
	return probe_device_within(path, PROBE_MS, ret);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool same_id(const char *a, struct slice b)
{
	struct slice s = slice_of(a);

	if (s.n == 0 || s.n != b.n)
		return false;
	for (size_t i = 0; i < b.n; i++) {
		char x = s.p[i], y = b.p[i];
		x = x >= 'A' && x <= 'Z' ? (char)(x + 32) : x;
		y = y >= 'A' && y <= 'Z' ? (char)(y + 32) : y;
		if (x != y)
			return false;
	}
	return true;
}

bool probe_matches(const struct probe *p, const char *spec)
{
	struct slice value = slice_of(spec), key;

	if (!slice_cut(&value, '=', &key))
		return false;
	if (slice_is(key, "LABEL"))
		return value.n && slice_is(value, p->label);
	if (slice_is(key, "PARTLABEL"))
		return value.n && slice_is(value, p->partlabel);
	if (slice_is(key, "UUID"))
		return same_id(p->uuid, value);
	return slice_is(key, "PARTUUID") && same_id(p->partuuid, value);
}

int probe_find(const char *spec, char device[PATH_MAX], char type[PROBE_TYPE_MAX])
{
	auto_str struct str text = STR_INIT;
	int r = file_read(AT_FDCWD, "/proc/partitions", &text, LIMIT_DEVICES_TEXT, NULL);
	struct slice rest = str_slice(&text), line;

	if (r < 0)
		return r;
	if (!strchr(spec, '='))
		return -EINVAL;
	while (slice_cut(&rest, '\n', &line)) {
		const char *blank = line.n ? memrchr(line.p, ' ', line.n) : NULL;
		struct probe p;
		if (!blank)
			continue;
		int n = (int)(line.n - (size_t)(blank + 1 - line.p));
		if (n == 0 || strncmp(blank + 1, "name", 4) == 0)
			continue;
		snprintf(device, PATH_MAX, "/dev/%.*s", n, blank + 1);
		if (probe_device(device, &p) < 0 || !probe_matches(&p, spec))
			continue;
		memcpy(type, p.type, sizeof(p.type));
		return 0;
	}
	return -ENODEV;
}
