/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/probe.h"
#include "lib/slice.h"
#include "lib/text.h"

#define SECTOR	       512
#define PROBE_SECONDS  10
#define LIMIT_CONTENTS 16384
#define LIMIT_ATTR     256

/* ---- Attributes ------------------------------------------------------------------------------ */

/* First line of a file of /sys, trimmed and printable; "" when there is none. */
static const char *attribute(struct arena *a, const char *dir, const char *name)
{
	auto_str struct str text = STR_INIT;
	auto_str struct str safe = STR_INIT;
	struct err ignored = ERR_INIT;
	char path[PATH_MAX];
	struct slice line;

	if (path_join(path, dir, name) < 0 ||
	    file_read(AT_FDCWD, path, &text, LIMIT_ATTR, &ignored) < 0)
		return "";
	struct slice rest = str_slice(&text);
	if (!slice_cut(&rest, '\n', &line))
		return "";
	text_safe(&safe, slice_trim(line));
	const char *s = str_err(&safe) ? NULL : arena_slice(a, str_slice(&safe));
	return s ? s : "";
}

static const char *either(const char *a, const char *b)
{
	return *a ? a : b;
}

/* The serial number as a SCSI disk gives it: page 0x80 of its product data, after four bytes. */
static const char *scsi_serial(struct arena *a, const char *sys)
{
	auto_str struct str page = STR_INIT;
	auto_str struct str safe = STR_INIT;
	struct err ignored = ERR_INIT;
	char path[PATH_MAX];

	if (path_join(path, sys, "device/vpd_pg80") < 0 ||
	    file_read(AT_FDCWD, path, &page, LIMIT_ATTR, &ignored) < 0 || page.len <= 4)
		return "";
	text_safe(&safe, slice_trim((struct slice){ page.buf + 4, page.len - 4 }));
	const char *s = str_err(&safe) ? NULL : arena_slice(a, str_slice(&safe));
	return s ? s : "";
}

static void describe(struct arena *a, const char *sys, struct device *d)
{
	d->model = either(attribute(a, sys, "device/model"), attribute(a, sys, "device/name"));
	d->serial = either(attribute(a, sys, "serial"), attribute(a, sys, "device/serial"));
	d->serial = either(d->serial,
			   either(attribute(a, sys, "wwid"), attribute(a, sys, "device/wwid")));
	d->serial = either(d->serial, scsi_serial(a, sys));
}

/* ---- The list -------------------------------------------------------------------------------- */

static bool is_disk(const char *name)
{
	static const char *const others[] = { "loop", "ram", "zram", "sr", "fd", "nbd", "mtd" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (slice_starts(slice_of(name), others[i]))
			return false;
	return name[0] != '.';
}

static int list_add(struct arena *a, const char *name, struct vec *ret, struct err *e)
{
	struct device *d = ARENA_NEW(a, struct device);
	char sys[PATH_MAX];
	uint64_t sectors = 0;

	if (!d || path_join(sys, "/sys/block", name) < 0)
		return err_num(e, -ENOMEM, "%s", name);
	(void)text_u64(slice_of(attribute(a, sys, "size")), UINT64_MAX / SECTOR, &sectors);
	if (!sectors) /* no medium */
		return 0;
	d->path = arena_fmt(a, "/dev/%s", name);
	d->size = sectors * SECTOR;
	d->fd = d->guard = -1;
	d->read_only = strcmp(attribute(a, sys, "ro"), "1") == 0;
	describe(a, sys, d);
	auto_fd int fd = d->path ? open(d->path, O_RDONLY | O_EXCL | O_CLOEXEC) : -1;
	d->in_use = fd < 0 && errno == EBUSY;
	vec_add(ret, d);
	return d->path ? 0 : err_num(e, -ENOMEM, "%s", name);
}

int device_list(struct arena *a, struct vec *ret, struct err *e)
{
	auto_vec struct vec names = VEC_INIT;
	DIR *dir = opendir("/sys/block");
	struct dirent *d;
	int r = 0, more;

	if (!dir)
		return err_sys(e, "/sys/block");
	while ((more = file_next(dir, &d)) > 0)
		if (is_disk(d->d_name))
			vec_add(&names, arena_str(a, d->d_name));
	(void)closedir(dir); /* only read from */
	if (more < 0)
		return err_num(e, more, "/sys/block");
	if (names.err || arena_err(a))
		return err_num(e, -ENOMEM, "/sys/block");
	vec_sort_str(&names);
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = list_add(a, (const char *)names.v[i], ret, e);
	return r;
}

/* ---- One of them ----------------------------------------------------------------------------- */

static int look_at_block(struct arena *a, struct device *d, dev_t number, struct err *e)
{
	char sys[64], part[80];
	int read_only = 0, sector = 0;

	(void)snprintf(sys, sizeof(sys), "/sys/dev/block/%u:%u", major(number), minor(number));
	(void)snprintf(part, sizeof(part), "%s/partition", sys);
	if (access(part, F_OK) == 0)
		return err_set(e, -ERR_INVALID, "%s is a partition, not a whole disk", d->path);
	if (ioctl(d->fd, BLKGETSIZE64, &d->size) < 0 || ioctl(d->fd, BLKROGET, &read_only) < 0 ||
	    ioctl(d->fd, BLKSSZGET, &sector) < 0)
		return err_sys(e, "%s", d->path);
	if (sector != SECTOR) /* its partition table would be another */
		return err_set(e, -ERR_UNSUPPORTED, "%s has sectors of %d bytes, not of %d",
			       d->path, sector, SECTOR);
	d->read_only = read_only;
	d->number = number;
	describe(a, sys, d);
	return 0;
}

int device_open(struct arena *a, const char *path, struct device *ret, struct err *e)
{
	struct device d = {
		.path = arena_str(a, path), .model = "", .serial = "", .fd = -1, .guard = -1
	};
	char same[64];
	struct stat st;
	int r = 0;

	if (!d.path)
		return err_num(e, -ENOMEM, "%s", path);
	if (stat(path, &st) < 0)
		return err_sys(e, "%s", path);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(e, -ERR_INVALID, "%s is not a disk", path);
	d.guard = open(path, O_RDWR | O_CLOEXEC | (S_ISBLK(st.st_mode) ? O_EXCL : 0));
	if (d.guard < 0 && errno == EBUSY)
		return err_set(e, -ERR_IN_USE,
			       "%s is in use: mounted, swap, or part of another device", path);
	if (d.guard < 0)
		return err_sys(e, "%s", path);
	(void)snprintf(same, sizeof(same), "/proc/self/fd/%d", d.guard);
	d.fd = open(same, O_RDWR | O_CLOEXEC);
	if (d.fd < 0 || fstat(d.fd, &st) < 0)
		r = err_sys(e, "%s", path);
	else if (S_ISBLK(st.st_mode))
		r = look_at_block(a, &d, st.st_rdev, e);
	else
		d.size = (uint64_t)st.st_size / SECTOR * SECTOR;
	if (r == 0 && d.read_only)
		r = err_set(e, -EROFS, "%s cannot be written", path);
	if (r < 0)
		device_close(&d);
	else
		*ret = d;
	return r;
}

int device_again(struct arena *a, struct device *d, struct err *e)
{
	uint64_t size = d->size;
	char byte;

	if (!d->number)
		return 0;
	int r = look_at_block(a, d, (dev_t)d->number, e);
	/* A read that no cache answers: what was pulled out still has a size. */
	(void)posix_fadvise(d->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (r == 0 && pread(d->fd, &byte, 1, 0) != 1)
		r = err_num(e, -ENODEV, "%s", d->path);
	if (r == 0 && size != d->size)
		r = err_set(e, -ERR_INVALID, "%s has another size than before", d->path);
	return r;
}

void device_close(struct device *d)
{
	fd_close(&d->fd);
	fd_close(&d->guard);
}

void device_share(struct device *d)
{
	fd_close(&d->guard);
}

const char *device_fd_path(const struct device *d, struct arena *a)
{
	return arena_fmt(a, "/proc/%ld/fd/%d", (long)getpid(), d->fd);
}

/* ---- What is on it --------------------------------------------------------------------------- */

static void add_size(struct str *line, const char *path)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t bytes;
	char size[16];

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return;
	text_human(bytes, size);
	str_addf(line, "%s, ", size);
}

static void print_one(int out, const char *path)
{
	auto_str struct str line = STR_INIT;
	struct probe p = { 0 };
	int r = probe_device(path, &p);

	if (r < 0 && r != -ENOTUNIQ)
		return;
	str_addf(&line, "    %s: ", path_base(path));
	add_size(&line, path);
	if (r == -ENOTUNIQ)
		str_add(&line, "more than one file system");
	else if (*p.type)
		text_safe(&line, slice_of(p.type));
	else
		str_add(&line, "nothing known");
	if (*p.label) {
		str_add(&line, ", called ");
		text_safe(&line, slice_of(p.label));
	}
	if (*p.partlabel) {
		str_add(&line, ", partition ");
		text_safe(&line, slice_of(p.partlabel));
	}
	str_addc(&line, '\n');
	if (!str_err(&line))
		(void)fd_write_full(out, line.buf, line.len); /* else it is not told */
}

/* In the child: the disk, then its partitions. */
static void print_all(int out, const char *path)
{
	char sys[PATH_MAX], part[PATH_MAX];
	const char *name = path_base(path);
	struct dirent *d;

	print_one(out, path);
	DIR *dir = path_join(sys, "/sys/block", name) == 0 ? opendir(sys) : NULL;
	while (dir && (d = readdir(dir)))
		if (slice_starts(slice_of(d->d_name), name) &&
		    path_join(part, "/dev", d->d_name) == 0)
			print_one(out, part);
	if (dir)
		(void)closedir(dir); /* only read from */
}

static int read_until(int fd, int64_t deadline, struct str *out)
{
	struct timespec now;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char buf[1024];

		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		int64_t left = deadline - (now.tv_sec * 1000 + now.tv_nsec / 1000000);
		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return -ETIMEDOUT;
		ssize_t n = fd_read_some(fd, buf, sizeof(buf));
		if (n <= 0)
			return (int)n;
		if (out->len + (size_t)n <= LIMIT_CONTENTS)
			str_addn(out, buf, (size_t)n);
	}
}

int device_contents(const struct device *d, struct str *out, struct err *e)
{
	const struct rlimit memory = { 256u << 20, 256u << 20 }, files = { 0, 0 };
	struct timespec now;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, "%s", d->path);
	pid_t pid = fork();
	if (pid < 0) {
		int r = err_sys(e, "%s", d->path);
		fd_close(&p[0]);
		fd_close(&p[1]);
		return r;
	}
	if (pid == 0) {
		(void)setrlimit(RLIMIT_AS, &memory);
		(void)setrlimit(RLIMIT_FSIZE, &files);
		print_all(p[1], d->path);
		_exit(0);
	}
	fd_close(&p[1]);
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	int r = read_until(p[0], (now.tv_sec + PROBE_SECONDS) * 1000 + now.tv_nsec / 1000000, out);
	fd_close(&p[0]);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		str_add(out, "    cannot be read in time\n");
	return str_err(out) ? err_num(e, -ENOMEM, "%s", d->path) : 0;
}
