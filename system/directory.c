/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/slice.h"

#define LIMIT_LINKS  40
#define LIMIT_MOUNTS (1u << 20)

/* ---- The way there --------------------------------------------------------------------------- */

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* Can nobody but root have put the link into dir? */
static bool link_is_ours(int dir, const struct stat *link)
{
	struct stat st;

	if (fstat(dir, &st) < 0 || !is_trusted(st.st_uid) || !is_trusted(link->st_uid))
		return false;
	return !(st.st_mode & 022) || (st.st_mode & S_ISVTX);
}

struct way {
	int dir; /* owned: the directory reached so far */
	unsigned links;
	char rest[PATH_MAX * 2]; /* what is still to go */
};

/* The target takes the place of the link at the front of the way. */
static int follow(struct way *w, const char *name, const char *after)
{
	char target[PATH_MAX], rest[sizeof(w->rest)];
	ssize_t n = readlinkat(w->dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (++w->links > LIMIT_LINKS)
		return -ELOOP;
	int len = snprintf(rest, sizeof(rest), "%s/%s", target, after);
	if (len < 0 || (size_t)len >= sizeof(rest))
		return -ENAMETOOLONG;
	memcpy(w->rest, rest, (size_t)len + 1);
	if (target[0] != '/')
		return 0;
	fd_close(&w->dir);
	w->dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->dir < 0 ? -errno : 0;
}

/* One name further. */
static int enter(struct way *w, const char *name, const char *after, mode_t mode)
{
	struct stat st;

	if (mkdirat(w->dir, name, *after ? 0755 : mode) < 0 && errno != EEXIST)
		return -errno;
	if (fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return *after && link_is_ours(w->dir, &st) ? follow(w, name, after) : -ELOOP;
	int fd = openat(w->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	fd_close(&w->dir);
	w->dir = fd;
	memmove(w->rest, after, strlen(after) + 1);
	return 0;
}

static int go(struct way *w, mode_t mode)
{
	char name[NAME_MAX + 1];
	int r = 0;

	while (r == 0) {
		const char *at = w->rest + strspn(w->rest, "/");
		size_t n = strcspn(at, "/");
		if (n == 0)
			return 0;
		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, at, n);
		name[n] = '\0';
		r = enter(w, name, at + n + strspn(at + n, "/"), mode);
	}
	return r;
}

/* ---- Cleaning -------------------------------------------------------------------------------- */

/* dir/name as mountinfo writes it, with blanks and backslashes as \ooo; false when it is too long.
 */
static bool mount_name(int dir, const char *name, struct str *out)
{
	char self[32], at[PATH_MAX];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", dir);
	ssize_t n = readlink(self, at, sizeof(at) - 1);
	if (n < 0)
		return false;
	at[n] = '\0';
	const char *parts[] = { at, "/", name };
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		for (const char *p = parts[i]; *p; p++)
			if (strchr(" \t\n\\", *p))
				str_addf(out, "\\%03o", (unsigned)*p);
			else
				str_addc(out, *p);
	return str_err(out) == 0;
}

/* Is something mounted at path or below it? */
static bool has_mount(struct slice mounts, const struct str *path)
{
	struct slice line, field = { 0 };

	while (slice_cut(&mounts, '\n', &line)) {
		for (int i = 0; i < 5; i++)
			if (!slice_cut(&line, ' ', &field))
				field = (struct slice){ 0 };
		if (slice_starts(field, path->buf) &&
		    (field.n == path->len || field.p[path->len] == '/'))
			return true;
	}
	return false;
}

static int clean_entry(int dir, const char *name, struct slice mounts, struct err *e)
{
	auto_str struct str path = STR_INIT;

	if (!mount_name(dir, name, &path))
		return err_set(e, -ENOMEM, "cannot tell what is mounted");
	if (!has_mount(mounts, &path))
		return file_delete_tree(dir, name, NULL, e);
	log_info("clean: a file system is mounted there path=%s", path.buf);
	return 0;
}

static int clean(int dir, struct err *e)
{
	auto_str struct str mounts = STR_INIT;
	int r = file_read(AT_FDCWD, "/proc/self/mountinfo", &mounts, LIMIT_MOUNTS, e);
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d) {
		fd_close(&fd);
		return r < 0 ? r : err_sys(e, "cannot list it");
	}
	while (r >= 0 && (errno = 0, entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = clean_entry(dir, entry->d_name, str_slice(&mounts), e);
	closedir(d);
	return r < 0 ? r : 0;
}

/* ---- All of it ------------------------------------------------------------------------------- */

/* Without privilege (a scratch root of an ordinary user) it stays the user's. */
static int give(int dir, const struct sys_directory *d, struct err *e)
{
	if (fchown(dir, d->uid, d->gid) < 0 && errno != EPERM && errno != EINVAL)
		return err_sys(e, "%s", d->path);
	return fchmod(dir, d->mode) < 0 ? err_sys(e, "%s", d->path) : 0;
}

int sys_directory_put(const struct sys_directory *d, struct err *e)
{
	struct way w = { .dir = open(d->path[0] == '/' ? "/" : ".",
				     O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	size_t n = strlen(d->path);
	int r = w.dir < 0 ? -errno : n >= PATH_MAX ? -ENAMETOOLONG : 0;

	if (r == 0) {
		memcpy(w.rest, d->path, n + 1);
		r = go(&w, d->mode);
	}
	if (r == -ELOOP)
		err_set(e, r,
			"%s: it, or a directory on the way that others than root own, is a link",
			d->path);
	else if (r < 0)
		err_num(e, r, "%s", d->path);
	if (r == 0 && d->clean && (r = clean(w.dir, e)) < 0)
		err_wrap(e, r, "cleaning %s", d->path);
	if (r == 0)
		r = give(w.dir, d, e);
	fd_close(&w.dir);
	return r;
}
