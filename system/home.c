/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/str.h"

#define LIMIT_SKELETON ((size_t)16 << 20) /* of one file */
#define LIMIT_DEEP     16

struct owner {
	uid_t uid;
	gid_t gid;
};

/* Without privilege (a scratch root of an ordinary user) it stays the user's. */
static int give(int fd, struct owner o)
{
	return fchown(fd, o.uid, o.gid) < 0 && errno != EPERM && errno != EINVAL ? -errno : 0;
}

static int copy_file(int from, int to, const char *name, struct owner o)
{
	auto_str struct str text = STR_INIT;
	auto_fd int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (in < 0 || fstat(in, &st) < 0)
		return -errno;
	mode_t mode = st.st_mode & 0100 ? 0755 : 0644;
	auto_fd int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (out < 0)
		return -errno;
	int rc = fd_read_all(in, &text, LIMIT_SKELETON);
	if (rc == 0)
		rc = fd_write_full(out, text.buf, text.len);
	if (rc == 0 && fchmod(out, mode) < 0)
		rc = -errno;
	if (rc == 0)
		rc = give(out, o);
	return rc == 0 && fsync(out) < 0 ? -errno : rc;
}

static int copy_tree(int from, int to, struct owner o, unsigned depth);

static int copy_dir(int from, int to, const char *name, struct owner o, unsigned depth)
{
	auto_fd int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (in < 0 || mkdirat(to, name, 0755) < 0)
		return -errno;
	auto_fd int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (out < 0)
		return -errno;
	int rc = copy_tree(in, out, o, depth + 1);
	return rc < 0 ? rc : give(out, o);
}

/* Files and directories; nothing else is a skeleton. */
static int copy_tree(int from, int to, struct owner o, unsigned depth)
{
	int own = fcntl(from, F_DUPFD_CLOEXEC, 3), rc = 0, more = 0;
	DIR *d = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;

	if (!d) {
		rc = -errno;
		fd_close(&own);
		return rc;
	}
	while (rc == 0 && (more = file_next(d, &entry)) > 0) {
		const char *name = entry->d_name;
		struct stat st;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			rc = -errno;
		else if (S_ISDIR(st.st_mode))
			rc = depth < LIMIT_DEEP ? copy_dir(from, to, name, o, depth) : -ELOOP;
		else if (S_ISREG(st.st_mode))
			rc = copy_file(from, to, name, o);
	}
	closedir(d);
	return rc == 0 && more < 0 ? more : rc;
}

/* Files first, the directory's owner last: until then nobody but root is in there. */
static int fill(const char *fresh, const char *skeletons, struct owner o)
{
	auto_fd int to = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int rc = 0;

	if (to < 0)
		return -errno;
	if (skeletons) {
		auto_fd int from = open(skeletons, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		rc = from < 0 ? -errno : copy_tree(from, to, o, 0);
	}
	return rc < 0 ? rc : give(to, o);
}

int home_make(const struct sys_root *r, struct ids *ids, const struct account *x,
	      const char *skeletons, struct err *e)
{
	char *home = sys_root_path(r, &ids->a, x->home);
	struct owner o = { (uid_t)ids_find(ids, true, x->name)->number,
			   (gid_t)ids_find(ids, false, account_primary_group(x))->number };
	char dir[PATH_MAX], *fresh;
	struct stat st;
	int rc;

	if (!home)
		return err_set(e, -ENOMEM, "out of memory");
	if (lstat(home, &st) == 0)
		return 0;
	rc = path_dir(dir, home);
	rc = rc < 0 ? err_num(e, rc, "%s", home) : file_mkdir_p(AT_FDCWD, dir, 0755, e);
	fresh = arena_fmt(&ids->a, "%s/.cairn-new-home-%s", dir, x->name);
	if (rc == 0 && !fresh)
		rc = err_set(e, -ENOMEM, "out of memory");
	/* What an activation that was cut off left. */
	if (rc == 0)
		rc = file_delete_tree(AT_FDCWD, fresh, NULL, e);
	if (rc < 0)
		return rc;
	if (mkdir(fresh, 0700) < 0)
		return err_sys(e, "%s", fresh);
	rc = fill(fresh, skeletons, o);
	if (rc == 0 && rename(fresh, home) < 0)
		rc = -errno;
	return rc < 0 ? err_num(e, rc, "home of %s: %s", x->name, home) : 0;
}
