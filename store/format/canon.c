/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/format/canon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/tab.h"
#include "store/kernel.h"
#include "store/limits.h"
#include "store/format/nar.h"

struct canon_inodes {
	struct arena arena;
	struct tab tab; /* keys: device and inode number */
};

struct inode_key {
	uint64_t dev, ino;
};

struct canon_walk {
	struct canon *c;
	struct err *e;
	struct str path; /* for messages */
	unsigned depth;
};

static int canon_node(struct canon_walk *w, int dirfd, const char *name);

static bool inode_seen(const struct canon *c, const struct stat *st)
{
	struct inode_key k = { st->st_dev, st->st_ino };

	return c->seen && tab_has(&c->seen->tab, (struct slice){ (char *)&k, sizeof(k) });
}

static int inode_remember(struct canon *c, const struct stat *st)
{
	struct inode_key k = { st->st_dev, st->st_ino };
	void *key;

	if (!c->seen)
		c->seen = mem_zalloc(sizeof(*c->seen));
	if (!c->seen)
		return -ENOMEM;
	key = arena_dup(&c->seen->arena, &k, sizeof(k));
	return key && tab_put(&c->seen->tab, (struct slice){ key, sizeof(k) }, NULL) ? 0 : -ENOMEM;
}

void canon_done(struct canon *c)
{
	if (!c->seen)
		return;
	tab_done(&c->seen->tab);
	arena_done(&c->seen->arena);
	free(c->seen);
	c->seen = NULL;
}

/* Labels that the system itself puts on files and that are no part of their contents. */
static bool xattr_stays(const char *name)
{
	return !strcmp(name, "security.selinux") || !strcmp(name, "system.nfs4_acl");
}

/* There is no call that takes a descriptor and a name, and files may be unreadable: so by way of
 * /proc, with the calls that do not follow a link in the last part. */
static int drop_xattrs(struct canon_walk *w, int dirfd, const char *name)
{
	char path[64 + LIMIT_NAR_NAME], list[4096];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	n = llistxattr(path, list, sizeof(list));
	if (n < 0 && errno == ENOTSUP)
		return 0;
	if (n < 0)
		return err_sys(w->e, "%s: list extended attributes", w->path.buf);
	for (const char *p = list; p < list + n; p += strlen(p) + 1) {
		if (xattr_stays(p) || lremovexattr(path, p) == 0 || errno == ENODATA)
			continue;
		return err_sys(w->e, "%s: remove the extended attribute %s", w->path.buf, p);
	}
	return 0;
}

/* One call where the kernel has it; the C library makes it of five. */
static int set_mode(int dirfd, const char *name, mode_t mode)
{
	if (syscall(SYS_fchmodat2, dirfd, name, mode, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM) /* EPERM: a filter that does not know it */
		return -1;
	return fchmodat(dirfd, name, mode, AT_SYMLINK_NOFOLLOW);
}

/* Mode, owner and times of one node, as far as they differ. */
static int fix_metadata(struct canon_walk *w, int dirfd, const char *name, const struct stat *st)
{
	static const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };
	const struct canon *c = w->c;
	mode_t mode = S_ISDIR(st->st_mode) || (st->st_mode & 0100) ? 0555 : 0444;
	bool owner = (c->uid != (uid_t)-1 && st->st_uid != c->uid) ||
		     (c->gid != (gid_t)-1 && st->st_gid != c->gid);
	int r = drop_xattrs(w, dirfd, name);

	if (r < 0)
		return r;
	if (!S_ISLNK(st->st_mode) && (st->st_mode & 07777) != mode &&
	    set_mode(dirfd, name, mode) < 0)
		return err_sys(w->e, "%s: set the mode", w->path.buf);
	if (owner && fchownat(dirfd, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(w->e, "%s: set the owner", w->path.buf);
	if ((st->st_mtim.tv_sec != 1 || st->st_mtim.tv_nsec || S_ISDIR(st->st_mode)) &&
	    utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(w->e, "%s: set the time", w->path.buf);
	return 0;
}

/* Open a directory that may have no permissions at all. */
static int open_dir(struct canon_walk *w, int dirfd, const char *name, int *ret)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	int fd = openat(dirfd, name, flags);

	if (fd < 0 && errno == EACCES) {
		if (fchmodat(dirfd, name, 0700, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(w->e, "%s: set the mode", w->path.buf);
		fd = openat(dirfd, name, flags);
	}
	if (fd < 0)
		return err_sys(w->e, "open %s", w->path.buf);
	*ret = fd;
	return 0;
}

static int canon_children(struct canon_walk *w, int dirfd, const char *name)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	auto_fd int fd = -1;
	size_t len = w->path.len;
	struct stat st;
	int r;

	if (w->depth == LIMIT_NAR_DEPTH) /* the path would be all of the message */
		return err_set(w->e, -ERR_LIMIT, "directories are nested deeper than %d",
			       LIMIT_NAR_DEPTH);
	r = open_dir(w, dirfd, name, &fd);
	if (r < 0)
		return r;
	/* Names cannot be looked up without x: make it passable for the time of the walk. */
	if (fstat(fd, &st) == 0 && (st.st_mode & 0500) != 0500 && fchmod(fd, 0700) < 0)
		return err_sys(w->e, "%s: set the mode", w->path.buf);
	r = nar_list_dir(&a, fd, &names);
	if (r < 0)
		return err_num(w->e, r, "list %s", w->path.buf);
	w->depth++;
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		str_addf(&w->path, "/%s", (char *)names.v[i]);
		r = canon_node(w, fd, names.v[i]);
		str_cut(&w->path, len);
	}
	w->depth--;
	return r;
}

static int canon_node(struct canon_walk *w, int dirfd, const char *name)
{
	struct canon *c = w->c;
	struct stat st;
	bool dir;
	int r = 0;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(w->e, "%s", w->path.buf);
	dir = S_ISDIR(st.st_mode);
	if (!dir && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(w->e, -ERR_INVALID,
			       "%s has a type that the store cannot hold [only files, directories "
			       "and symbolic links]",
			       w->path.buf);
	if (c->from != (uid_t)-1 && st.st_uid != c->from) {
		if (!dir && inode_seen(c, &st))
			return 0;
		return err_set(w->e, -ERR_INVALID, "invalid ownership on %s: user id %u",
			       w->path.buf, (unsigned)st.st_uid);
	}
	if (!dir && st.st_nlink > 1)
		r = inode_remember(c, &st);
	if (r < 0)
		return err_num(w->e, r, "%s", w->path.buf);
	if (dir)
		r = canon_children(w, dirfd, name);
	return r == 0 ? fix_metadata(w, dirfd, name, &st) : r;
}

int canon_tree(struct canon *c, int dirfd, const char *name, struct err *e)
{
	struct canon_walk w = { c, e, STR_INIT, 0 };
	int r;

	str_add(&w.path, name);
	r = canon_node(&w, dirfd, name);
	str_done(&w.path);
	return r;
}
