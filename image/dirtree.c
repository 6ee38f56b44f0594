/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/dirtree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "store/store.h"

#define DEPTH_MAX  300
#define TEMP_FILE  DIRTREE_TEMP "new"
#define SAVED_NAME ".saved"

struct open_dir {
	int fd; /* owned */
	const struct man_entry *entry;
};

struct dirtree {
	struct img_sink sink;
	int top;
	const struct tab *want;
	dev_t device;			 /* of the top */
	struct open_dir dirs[DEPTH_MAX]; /* those the next entry may lie in */
	size_t ndirs;
	const struct store_info *item; /* being written under a temporary name; NULL: none */
	int fd;			       /* the file at hand */
};

/* ---- Names and attributes -------------------------------------------------------------------- */

/* The name that n is made under. */
static int made_name(const struct man_entry *n, char out[NAME_MAX + 1], struct err *e)
{
	const char *base = path_base(n->path);
	int len;

	if (n->item && n->depth > 0)
		len = snprintf(out, NAME_MAX + 1, "%s", base);
	else if (n->item)
		len = snprintf(out, NAME_MAX + 1, DIRTREE_TEMP "%s", base);
	else
		len = snprintf(out, NAME_MAX + 1, "%s", n->type == MAN_DIR ? base : TEMP_FILE);
	return len < 0 || len > NAME_MAX ? err_num(e, -ENAMETOOLONG, "/%s", n->path) : 0;
}

static struct timespec mtime_of(const struct man_entry *n)
{
	return (struct timespec){ .tv_sec = n->mtime };
}

/* Owner, mode and time of what is open as fd. */
static int set_attributes(int fd, const struct man_entry *n, struct err *e)
{
	const struct timespec times[2] = { mtime_of(n), mtime_of(n) };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "/%s", n->path);
	if ((st.st_uid != n->uid || st.st_gid != n->gid) && fchown(fd, n->uid, n->gid) < 0)
		return err_sys(e, "owner of /%s", n->path);
	if (fchmod(fd, (mode_t)n->mode) < 0 || futimens(fd, times) < 0)
		return err_sys(e, "mode of /%s", n->path);
	return 0;
}

/* ---- Directories ----------------------------------------------------------------------------- */

static int here(const struct dirtree *t)
{
	return t->dirs[t->ndirs - 1].fd;
}

/* What lies on another file system, such as a mounted ESP, is not ours. */
static int dir_close(struct dirtree *t, struct err *e)
{
	struct open_dir *d = &t->dirs[--t->ndirs];
	struct stat st;
	int r = fstat(d->fd, &st) < 0 ? err_sys(e, "/%s", d->entry->path) : 0;

	if (r == 0 && st.st_dev == t->device)
		r = set_attributes(d->fd, d->entry, e);
	fd_close(&d->fd);
	return r;
}

static bool holds(const struct man_entry *dir, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	return strlen(dir->path) == n && memcmp(dir->path, path, n) == 0;
}

/* Open directories down to the one that holds path. */
static int dirs_close(struct dirtree *t, const char *path, struct err *e)
{
	int r = 0;

	while (r == 0 && t->ndirs > 1 && !holds(t->dirs[t->ndirs - 1].entry, path))
		r = dir_close(t, e);
	return r;
}

static int dir_enter(struct dirtree *t, const struct man_entry *n, struct err *e)
{
	char name[NAME_MAX + 1];
	int fd;

	if (t->ndirs == DEPTH_MAX)
		return err_set(e, -ERR_LIMIT, "/%s is too deep", n->path);
	if (t->ndirs == 0) {
		fd = fcntl(t->top, F_DUPFD_CLOEXEC, 0);
	} else {
		int r = made_name(n, name, e);
		if (r < 0)
			return r;
		if (mkdirat(here(t), name, 0700) < 0 && (errno != EEXIST || n->item))
			return err_sys(e, "making /%s", n->path);
		fd = openat(here(t), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return err_sys(e, "/%s is in the way", n->path);
	t->dirs[t->ndirs++] = (struct open_dir){ fd, n };
	return 0;
}

/* ---- Store items ----------------------------------------------------------------------------- */

/* The item that was written last is complete, and its hash is known. */
static int item_finish(struct dirtree *t, struct err *e)
{
	const struct store_info *item = t->item;
	const struct digest *want = item ? tab_find(t->want, slice_of(item->path)) : NULL;
	char temp[NAME_MAX + 1];

	if (!item)
		return 0;
	int r = dirs_close(t, item->path + 1, e);
	if (r < 0)
		return r;
	if (!want || !digest_eq(want, &item->nar_hash))
		return err_set(e, -ERR_HASH, "%s is damaged where it comes from", item->path);
	const char *base = path_base(item->path);
	(void)snprintf(temp, sizeof(temp), DIRTREE_TEMP "%s", base);
	if (renameat(here(t), temp, here(t), base) < 0)
		return err_sys(e, "%s", item->path);
	t->item = NULL;
	return 0;
}

/* ---- Files and links ------------------------------------------------------------------------- */

static int file_begin(struct dirtree *t, const struct man_entry *n, struct err *e)
{
	char name[NAME_MAX + 1];
	int r = made_name(n, name, e);

	if (r < 0)
		return r;
	if (!n->item && unlinkat(here(t), name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "/%s", n->path);
	t->fd = openat(here(t), name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return t->fd < 0 ? err_sys(e, "making /%s", n->path) : 0;
}

static bool same_contents(int a, int b)
{
	char x[16384], y[sizeof(x)];
	off_t at = 0;

	for (;;) {
		ssize_t n = pread(a, x, sizeof(x), at), m = pread(b, y, sizeof(y), at);
		if (n != m || n < 0 || memcmp(x, y, (size_t)n) != 0)
			return false;
		if (n == 0)
			return true;
		at += n;
	}
}

/* Somebody's file of that name is not lost. */
static int save_old(struct dirtree *t, const struct man_entry *n, struct err *e)
{
	const char *name = path_base(n->path);
	char saved[NAME_MAX + 1];
	auto_fd int old = openat(here(t), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (old < 0 && errno == ENOENT)
		return 0;
	if (old < 0)
		return err_sys(e, "/%s is in the way", n->path);
	if (n->late || same_contents(old, t->fd))
		return 0;
	int len = snprintf(saved, sizeof(saved), "%s" SAVED_NAME, name);
	if (len < 0 || (size_t)len >= sizeof(saved))
		return err_num(e, -ENAMETOOLONG, "/%s" SAVED_NAME, n->path);
	return renameat(here(t), name, here(t), saved) < 0 ? err_sys(e, "/%s" SAVED_NAME, n->path)
							   : 0;
}

static int file_end(struct dirtree *t, const struct man_entry *n, struct err *e)
{
	int r = set_attributes(t->fd, n, e);

	if (r == 0 && !n->item)
		r = save_old(t, n, e);
	if (r == 0 && n->late && syncfs(t->top) < 0)
		r = err_sys(e, "syncing");
	fd_close(&t->fd);
	if (r < 0 || n->item)
		return r;
	return renameat(here(t), TEMP_FILE, here(t), path_base(n->path)) < 0
		       ? err_sys(e, "/%s is in the way", n->path)
		       : 0;
}

static bool is_link_to(int dir, const char *name, const char *target)
{
	auto_str struct str have = STR_INIT;
	struct err ignored = ERR_INIT;

	return file_readlink(dir, name, &have, &ignored) == 0 && strcmp(have.buf, target) == 0;
}

/* A link may take the place of a link, and of nothing else. */
static int link_check(struct dirtree *t, const struct man_entry *n, struct err *e)
{
	struct stat st;

	if (fstatat(here(t), path_base(n->path), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "/%s", n->path);
	return S_ISLNK(st.st_mode) ? 0 : err_num(e, -EEXIST, "/%s is in the way", n->path);
}

static int link_make(struct dirtree *t, const struct man_entry *n, struct err *e)
{
	const struct timespec times[2] = { mtime_of(n), mtime_of(n) };
	const char *base = path_base(n->path);
	char name[NAME_MAX + 1];
	int r = made_name(n, name, e);

	if (r == 0 && !n->item && is_link_to(here(t), base, n->target))
		return 0;
	if (r == 0 && !n->item)
		r = link_check(t, n, e);
	if (r < 0)
		return r;
	if (!n->item && unlinkat(here(t), name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "/%s", n->path);
	if (symlinkat(n->target, here(t), name) < 0 ||
	    fchownat(here(t), name, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(here(t), name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "making /%s", n->path);
	if (!n->item && renameat(here(t), name, here(t), base) < 0)
		return err_sys(e, "/%s", n->path);
	return 0;
}

/* ---- The sink -------------------------------------------------------------------------------- */

static int sink_entry(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	struct dirtree *t = (struct dirtree *)s;
	int r = n->item != t->item ? item_finish(t, e) : 0;

	if (r == 0)
		r = dirs_close(t, n->path, e);
	if (r < 0)
		return r;
	t->item = n->item;
	switch (n->type) {
	case MAN_DIR:
		return dir_enter(t, n, e);
	case MAN_FILE:
		return file_begin(t, n, e);
	case MAN_LINK:
		return link_make(t, n, e);
	default:
		return err_set(e, -ERR_UNSUPPORTED, "/%s is a device", n->path);
	}
}

static int sink_data(struct img_sink *s, const void *p, size_t n, struct err *e)
{
	struct dirtree *t = (struct dirtree *)s;
	int r = fd_write_full(t->fd, p, n);

	return r < 0 ? err_num(e, r, "writing") : 0;
}

static int sink_end(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	return n->type == MAN_FILE ? file_end((struct dirtree *)s, n, e) : 0;
}

int dirtree_open(int dir, const struct tab *want, struct dirtree **ret, struct err *e)
{
	struct dirtree *t = calloc(1, sizeof(*t));
	struct stat st;

	if (!t)
		return err_num(e, -ENOMEM, "writing files");
	if (fstat(dir, &st) < 0) {
		free(t);
		return err_sys(e, "writing files");
	}
	t->sink = (struct img_sink){ sink_entry, sink_data, sink_end };
	t->top = dir;
	t->want = want;
	t->device = st.st_dev;
	t->fd = -1;
	*ret = t;
	return 0;
}

struct img_sink *dirtree_sink(struct dirtree *t)
{
	return &t->sink;
}

int dirtree_finish(struct dirtree *t, struct err *e)
{
	int r = item_finish(t, e);

	while (r == 0 && t->ndirs)
		r = dir_close(t, e);
	if (r == 0 && syncfs(t->top) < 0)
		r = err_sys(e, "syncing");
	dirtree_free(t);
	return r;
}

void dirtree_free(struct dirtree *t)
{
	if (!t)
		return;
	while (t->ndirs)
		fd_close(&t->dirs[--t->ndirs].fd);
	fd_close(&t->fd);
	free(t);
}
