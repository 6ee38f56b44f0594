/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"

#define COPY_BUFFER (1024 * 1024)

static int copy_bytes(int in, int out, off_t from, off_t to, struct err *e)
{
	while (from < to) {
		off_t at = from;
		ssize_t n = copy_file_range(in, &from, out, &at, (size_t)(to - from), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
	}
	if (from >= to)
		return 0;
	/* Not between these file systems: through memory, then. */
	auto_free char *buf = malloc(COPY_BUFFER);
	if (!buf)
		return err_num(e, -ENOMEM, "copying the image");
	while (from < to) {
		size_t want = to - from < COPY_BUFFER ? (size_t)(to - from) : COPY_BUFFER;
		ssize_t n = pread(in, buf, want, from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			return err_num(e, -EIO, "copying the image");
		ssize_t put = n < 0 ? -1 : pwrite(out, buf, (size_t)n, from);
		if (put < 0)
			return err_sys(e, "copying the image");
		from += put;
	}
	return 0;
}

static int copy_sparse(int in, int out, off_t size, struct err *e)
{
	off_t at = 0;

	if (ftruncate(out, size) < 0)
		return err_sys(e, "sizing the copy");
	while (at < size) {
		off_t data = lseek(in, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0; /* only a hole is left */
		if (data < 0)
			return err_sys(e, "copying the image");
		off_t hole = lseek(in, data, SEEK_HOLE);
		if (hole < 0)
			return err_sys(e, "copying the image");
		int r = copy_bytes(in, out, data, hole, e);
		if (r < 0)
			return r;
		at = hole;
	}
	return 0;
}

/* ".NAME.PID": the copy of NAME that a process makes. */
static bool is_copy_of(const char *entry, const char *name)
{
	size_t n = strlen(name);

	if (entry[0] != '.' || strncmp(entry + 1, name, n) != 0 || entry[n + 1] != '.')
		return false;
	entry += n + 2;
	return *entry && entry[strspn(entry, "0123456789")] == '\0';
}

/* Half a copy that a killed run left: nobody holds its lock any more. */
static void remove_left(int dir, const char *entry)
{
	struct stat st;
	auto_fd int fd = openat(dir, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(dir, entry, 0); /* it costs room, no more */
}

static void remove_all_left(int dir, const char *name)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (is_copy_of(entry->d_name, name))
			remove_left(dir, entry->d_name);
	if (d)
		closedir(d);
	else
		fd_close(&fd);
}

/* A new file that is locked as long as its descriptor is open. */
static int open_copy(int dir, const char *tmp, int *ret, struct err *e)
{
	struct stat st = { 0 };

	while (st.st_nlink == 0) { /* somebody may remove it before it is locked */
		auto_fd int out = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

		if (out < 0 || fstat(out, &st) < 0)
			return err_sys(e, "%s", tmp);
		/* Without locks (some network file systems) nobody removes it, either. */
		if (flock(out, LOCK_EX) == 0 && fstat(out, &st) < 0)
			return err_sys(e, "%s", tmp);
		if (st.st_nlink)
			*ret = fd_take(&out);
	}
	return 0;
}

/* The copy is on disk before it gets its name. */
static int copy_to(int in, int dir, const char *tmp, const char *name, struct err *e)
{
	struct stat st;
	auto_fd int out = -1;

	if (fstat(in, &st) < 0)
		return err_sys(e, "image");
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ERR_INVALID, "image is not a regular file");
	remove_all_left(dir, name);
	int r = open_copy(dir, tmp, &out, e);
	if (r < 0)
		return r;
	r = ioctl(out, FICLONE, in) == 0 ? 0 : copy_sparse(in, out, st.st_size, e);
	if (r == 0 && (fsync(out) < 0 || renameat(dir, tmp, dir, name) < 0))
		r = err_sys(e, "%s", name);
	if (r < 0)
		(void)unlinkat(dir, tmp, 0); /* half a copy */
	else if (fsync(dir) < 0 && errno != EINVAL)
		r = err_sys(e, "%s", name);
	return r;
}

/* The directory of target, *ret_name its name there; parent is its path. */
static int target_open(const char *target, char parent[PATH_MAX], const char **ret_name,
		       int *ret_dir, struct err *e)
{
	const char *name = path_base(target);
	struct stat st;

	if (path_dir(parent, target) < 0)
		return err_num(e, -ENAMETOOLONG, "%s", target);
	auto_fd int dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "%s", parent);
	if (!*name || (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode)))
		return err_set(e, -EEXIST, "%s is there and no regular file", target);
	*ret_name = name;
	*ret_dir = fd_take(&dir);
	return 0;
}

int img_place_check(const char *target, struct err *e)
{
	char parent[PATH_MAX];
	const char *name;
	auto_fd int dir = -1;

	int r = target_open(target, parent, &name, &dir, e);
	if (r == 0 && faccessat(dir, ".", W_OK, AT_EACCESS) < 0)
		r = err_sys(e, "%s", parent);
	return r;
}

int img_place(const char *source, const char *target, struct arena *a, const char **ret,
	      struct err *e)
{
	char parent[PATH_MAX];
	const char *name;
	auto_fd int dir = -1;

	auto_fd int in = open(source, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return err_sys(e, "%s", source);
	int r = target_open(target, parent, &name, &dir, e);
	if (r < 0)
		return r;
	char *tmp = arena_fmt(a, ".%s.%d", name, (int)getpid());
	auto_free char *real = realpath(parent, NULL);
	if (!tmp || !real)
		return err_sys(e, "%s", parent);
	r = copy_to(in, dir, tmp, name, e);
	if (r < 0)
		return err_wrap(e, r, "%s", target);
	*ret = arena_fmt(a, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
	return *ret ? 0 : err_num(e, -ENOMEM, "%s", target);
}

/* ---- Directories ----------------------------------------------------------------------------- */

/* The directory "x/" has a name like others. */
static int strip_slashes(const char *target, char out[PATH_MAX], struct err *e)
{
	size_t n = strlen(target);

	while (n > 1 && target[n - 1] == '/')
		n--;
	if (n >= PATH_MAX)
		return err_num(e, -ENAMETOOLONG, "%s", target);
	memcpy(out, target, n);
	out[n] = '\0';
	return 0;
}

int img_place_files_check(const char *target, struct err *e)
{
	char name[PATH_MAX];
	struct stat st;

	int r = strip_slashes(target, name, e);
	if (r < 0)
		return r;
	if (stat(target, &st) < 0)
		return errno == ENOENT ? img_place_check(name, e) : err_sys(e, "%s", target);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, -EEXIST, "%s is there and no directory", target);
	return faccessat(AT_FDCWD, target, W_OK, AT_EACCESS) < 0 ? err_sys(e, "%s", target) : 0;
}

static int place_each(DIR *d, const char *source, const char *target, struct arena *a,
		      struct err *e)
{
	struct dirent *entry;
	const char *placed;
	int r = 0, more = 0;

	while (r == 0 && (more = file_next(d, &entry)) > 0) {
		if (entry->d_name[0] == '.')
			continue;
		const char *from = arena_fmt(a, "%s/%s", source, entry->d_name);
		const char *to = arena_fmt(a, "%s/%s", target, entry->d_name);
		r = from && to ? img_place(from, to, a, &placed, e)
			       : err_num(e, -ENOMEM, "%s", target);
	}
	return r == 0 && more < 0 ? err_num(e, more, "%s", source) : r;
}

int img_place_files(const char *source, const char *target, struct arena *a, const char **ret,
		    struct err *e)
{
	char parent[PATH_MAX], name[PATH_MAX];

	int r = img_place_files_check(target, e);
	if (r < 0 || (r = strip_slashes(target, name, e)) < 0)
		return r;
	if (mkdir(target, 0777) < 0 && errno != EEXIST)
		return err_sys(e, "%s", target);
	DIR *d = opendir(source);
	if (!d)
		return err_sys(e, "%s", source);
	r = place_each(d, source, target, a, e);
	closedir(d);
	if (r == 0 && path_dir(parent, name) == 0)
		r = file_sync(AT_FDCWD, parent, e);
	auto_free char *real = r == 0 ? realpath(target, NULL) : NULL;
	if (r == 0 && !real)
		r = err_sys(e, "%s", target);
	if (r < 0)
		return r;
	*ret = arena_fmt(a, "%s", real);
	return *ret ? 0 : err_num(e, -ENOMEM, "%s", target);
}
