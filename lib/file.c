/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The part of lib/fd.h that works on paths. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/slice.h"

/* Descriptors that a deletion holds at once. What lies deeper is moved up first, so that any depth
 * can be deleted. */
#define DELETE_DEPTH 64

int file_read(int dirfd, const char *path, struct str *out, size_t limit, struct err *e)
{
	auto_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	r = fd_read_all(fd, out, limit);
	if (r == -ERR_LIMIT)
		return err_set(e, r, "%s is larger than %zu bytes", path, limit);
	return r < 0 ? err_num(e, r, "cannot read %s", path) : 0;
}

/* fsync the directory that path lies in. */
static int sync_parent(int dirfd, const char *path, struct err *e)
{
	char dir[PATH_MAX];
	int r = path_dir(dir, path);

	return r < 0 ? err_num(e, r, "%s", path) : file_sync(dirfd, dir, e);
}

int file_sync(int dirfd, const char *path, struct err *e)
{
	auto_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	return fsync(fd) < 0 ? err_sys(e, "cannot sync %s", path) : 0;
}

int file_open_lock(int dirfd, const char *path, struct err *e)
{
	struct stat st;
	auto_fd int fd = openat(dirfd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_sys(e, "cannot open %s", path);
	if (fstat(fd, &st) < 0 || ((st.st_mode & 077) && fchmod(fd, 0600) < 0))
		return err_sys(e, "%s", path);
	return fd_take(&fd);
}

/* A name beside path that nobody else uses. */
static int temp_name(char out[PATH_MAX], const char *path)
{
	uint64_t random;
	char dir[PATH_MAX];
	int r = path_dir(dir, path);

	if (r < 0)
		return r;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	r = snprintf(out, PATH_MAX, "%s/.tmp-%016llx", dir, (unsigned long long)random);
	return r >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static bool is_temp(const char *name)
{
	static const char prefix[] = ".tmp-";
	const char *p = name + sizeof(prefix) - 1;

	return slice_starts(slice_of(name), prefix) && strspn(p, "0123456789abcdef") == 16 &&
	       p[16] == '\0';
}

int file_next(DIR *dir, struct dirent **ret)
{
	errno = 0;
	*ret = readdir(dir);
	return *ret ? 1 : -errno;
}

void file_sweep_temps(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (!dir) {
		fd_close(&fd);
		return;
	}
	while ((d = readdir(dir)))
		if (is_temp(d->d_name))
			(void)unlinkat(dirfd, d->d_name, 0);
	(void)closedir(dir); /* only read from */
}

static int write_temp(int dirfd, const char *temp, const void *p, size_t n, mode_t mode,
		      struct err *e)
{
	auto_fd int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	int r;

	if (fd < 0)
		return err_sys(e, "cannot create %s", temp);
	r = fd_write_full(fd, p, n);
	if (r < 0)
		return err_num(e, r, "cannot write %s", temp);
	if (fchmod(fd, mode) < 0)
		return err_sys(e, "cannot set the mode of %s", temp);
	return fsync(fd) < 0 ? err_sys(e, "cannot sync %s", temp) : 0;
}

/* Rename temp over path and make that durable; temp is gone afterwards in any case. */
static int commit_temp(int dirfd, const char *temp, const char *path, struct err *e)
{
	if (renameat(dirfd, temp, dirfd, path) < 0) {
		int r = err_sys(e, "cannot rename %s to %s", temp, path);

		(void)unlinkat(dirfd, temp, 0); /* the first error is the one to report */
		return r;
	}
	return sync_parent(dirfd, path, e);
}

int file_write_atomic(int dirfd, const char *path, const void *p, size_t n, mode_t mode,
		      struct err *e)
{
	char temp[PATH_MAX];
	int r = temp_name(temp, path);

	if (r < 0)
		return err_num(e, r, "cannot write %s", path);
	r = write_temp(dirfd, temp, p, n, mode, e);
	if (r < 0) {
		(void)unlinkat(dirfd, temp, 0); /* may not exist */
		return r;
	}
	return commit_temp(dirfd, temp, path, e);
}

int file_symlink_atomic(int dirfd, const char *target, const char *path, struct err *e)
{
	char temp[PATH_MAX];
	int r = temp_name(temp, path);

	if (r < 0)
		return err_num(e, r, "cannot link %s", path);
	if (symlinkat(target, dirfd, temp) < 0)
		return err_sys(e, "cannot create the link %s", temp);
	return commit_temp(dirfd, temp, path, e);
}

int file_readlink(int dirfd, const char *path, struct str *out, struct err *e)
{
	for (size_t size = 256;; size *= 2) {
		char *room = str_room(out, size);
		ssize_t n;

		if (!room)
			return err_num(e, str_err(out), "cannot read the link %s", path);
		n = readlinkat(dirfd, path, room, size);
		if (n < 0)
			return err_sys(e, "cannot read the link %s", path);
		if ((size_t)n < size) {
			str_grown(out, (size_t)n);
			return 0;
		}
	}
}

/* One directory; true in *ret_exists when something is there already. */
static int make_dir(int dirfd, const char *path, mode_t mode, struct err *e)
{
	struct stat st;

	if (mkdirat(dirfd, path, mode) == 0)
		return 0;
	if (errno != EEXIST) {
		int r = -errno;

		/* A read-only or foreign parent is no problem when the directory is there. */
		if (fstatat(dirfd, path, &st, 0) == 0 && S_ISDIR(st.st_mode))
			return 0;
		return err_num(e, r, "cannot create the directory %s", path);
	}
	if (fstatat(dirfd, path, &st, 0) < 0)
		return err_sys(e, "cannot look at %s", path);
	if (!S_ISDIR(st.st_mode))
		return err_num(e, -ENOTDIR, "cannot create the directory %s", path);
	return 0;
}

int file_mkdir_p(int dirfd, const char *path, mode_t mode, struct err *e)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n >= sizeof(part))
		return err_num(e, -ENAMETOOLONG, "%s", path);
	for (size_t i = 1; i <= n; i++) {
		int r;

		if (i < n && path[i] != '/')
			continue;
		if (path[i - 1] == '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		r = make_dir(dirfd, part, mode, e);
		if (r < 0)
			return r;
	}
	return 0;
}

struct deletion {
	const char *path; /* for messages; borrowed */
	int top;	  /* borrowed: the directory at path */
	unsigned moved;	  /* directories that were moved up */
	uint64_t bytes;
	file_linked_fn *linked;
	void *arg;
	struct err *e;
};

static int delete_entry(struct deletion *d, int dirfd, const char *name, unsigned depth);

/* Takes fd. */
static int delete_children(struct deletion *d, int fd, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *ent;
	int r = 0, more = 0;

	if (!dir) {
		r = err_sys(d->e, "cannot list %s", d->path);
		fd_close(&fd);
		return r;
	}
	if (depth == 0)
		d->top = fd;
	while (r == 0 && (more = file_next(dir, &ent)) > 0) {
		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		r = delete_entry(d, fd, ent->d_name, depth + 1);
	}
	if (r == 0 && more < 0)
		r = err_num(d->e, more, "cannot list %s", d->path);
	closedir(dir);
	return r;
}

/* Open a directory for deletion, giving ourselves the permission when the mode lacks it. */
static int open_for_delete(int dirfd, const char *name, mode_t mode)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd;

	if ((mode & 0700) != 0700)
		(void)fchmodat(dirfd, name, (mode & 07777) | 0700,
			       AT_SYMLINK_NOFOLLOW); /* open reports the failure */
	fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

/* Move a directory from deep below to the top, under a name that is free there. */
static int move_up(struct deletion *d, int dirfd, const char *name)
{
	char to[32];

	do {
		snprintf(to, sizeof(to), ".deep-%u", d->moved++);
		if (renameat(dirfd, name, d->top, to) == 0)
			return 0;
	} while (d->moved && (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR));
	return err_sys(d->e, "cannot move %s up in %s", name, d->path);
}

/* Delete what a directory holds, and move up what is too deep: again until nothing was moved. */
static int delete_contents(struct deletion *d, int dirfd, const char *name, mode_t mode,
			   unsigned depth)
{
	unsigned before;
	int r;

	do {
		int fd = open_for_delete(dirfd, name, mode);

		if (fd < 0)
			return err_num(d->e, fd, "cannot open %s in %s", name, d->path);
		if (depth == DELETE_DEPTH) {
			fd_close(&fd);
			return move_up(d, dirfd, name);
		}
		before = d->moved;
		r = delete_children(d, fd, depth);
	} while (r == 0 && depth == 0 && d->moved != before);
	return r;
}

static int delete_entry(struct deletion *d, int dirfd, const char *name, unsigned depth)
{
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : err_sys(d->e, "cannot look at %s in %s", name, d->path);
	if (S_ISDIR(st.st_mode)) {
		r = delete_contents(d, dirfd, name, st.st_mode, depth);
		if (r < 0 || depth == DELETE_DEPTH)
			return r;
	}
	if (unlinkat(dirfd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
		return err_sys(d->e, "cannot delete %s in %s", name, d->path);
	if (S_ISDIR(st.st_mode) || st.st_nlink == 1)
		d->bytes += (uint64_t)st.st_blocks * 512;
	else if (d->linked)
		d->linked(d->arg, &st);
	return 0;
}

int file_delete_tree_linked(int dirfd, const char *path, file_linked_fn *linked, void *arg,
			    uint64_t *ret_bytes, struct err *e)
{
	struct deletion d = { .path = path, .top = -1, .linked = linked, .arg = arg, .e = e };
	int r = delete_entry(&d, dirfd, path, 0);

	if (r == 0 && ret_bytes)
		*ret_bytes = d.bytes;
	return r;
}

int file_delete_tree(int dirfd, const char *path, uint64_t *ret_bytes, struct err *e)
{
	return file_delete_tree_linked(dirfd, path, NULL, NULL, ret_bytes, e);
}
