/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/privileged.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "lib/str.h"
#include "system/accounts.h"
#include "system/fails.h"

#define BIN	      PRIVILEGED_DIR "/bin"
#define NEW	      PRIVILEGED_DIR "/bin.new"
#define STAMP	      PRIVILEGED_DIR "/made-from" /* says what bin was made from */
#define EXCHANGE      2U			  /* of renameat2, for which musl has no function */
#define LIMIT_PROGRAM ((size_t)64 << 20)

/* ---- The file system --------------------------------------------------------------------------
 */

/* Is something mounted at path? */
static bool is_mount(const char *path)
{
	struct stat st, up;
	char parent[PATH_MAX];

	snprintf(parent, sizeof(parent), "%s/..", path);
	return stat(path, &st) == 0 && stat(parent, &up) == 0 && st.st_dev != up.st_dev;
}

static int mount_own(const struct sys_root *r, const char *dir, struct err *e)
{
	int rc = file_mkdir_p(AT_FDCWD, dir, 0755, e);

	if (rc < 0 || !sys_root_is_machine(r) || is_mount(dir))
		return rc;
	if (mount("privileged", dir, "tmpfs", MS_NODEV, "mode=0755,size=64M") < 0)
		return err_sys(e, "cannot mount %s", dir);
	return 0;
}

/* ---- Copies -----------------------------------------------------------------------------------
 */

static int set_capabilities(int fd, uint64_t bits)
{
	struct vfs_cap_data data = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data = { { .permitted = (uint32_t)bits },
			  { .permitted = (uint32_t)(bits >> 32) } },
	};

	return fsetxattr(fd, "security.capability", &data, sizeof(data), 0) < 0 ? -errno : 0;
}

/* The contents, then the owner, then the mode: a file never has bits for the wrong owner. */
static int copy(const struct sys_root *r, int dir, const struct privileged *p, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	uint64_t uid = 0, gid = 0, other;
	mode_t mode = (mode_t)((p->setuid ? 04000 : 0) | (p->setgid ? 02000 : 0) | 0555);
	char *from = sys_root_store(r, &a, p->program);
	int rc = accounts_user(r, p->user, &uid, &other, e);

	if (rc == 0)
		rc = accounts_group(r, p->group, &gid, e);
	if (rc < 0)
		return rc;
	if (!from)
		return err_set(e, -ENOMEM, "out of memory");
	rc = file_read(AT_FDCWD, from, &text, LIMIT_PROGRAM, e);
	if (rc < 0)
		return rc;
	auto_fd int fd = openat(dir, p->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0500);
	if (fd < 0)
		return err_sys(e, "%s/%s", NEW, p->name);
	rc = fd_write_full(fd, text.buf, text.len);
	/* Without privilege (a scratch root of an ordinary user) it stays the user's, without bits.
	 */
	if (rc == 0 && fchown(fd, (uid_t)uid, (gid_t)gid) < 0) {
		if (errno != EPERM || sys_root_is_machine(r))
			rc = -errno;
		mode = 0555;
	}
	if (rc == 0 && fchmod(fd, mode) < 0)
		rc = -errno;
	if (rc == 0 && p->capabilities && sys_root_is_machine(r))
		rc = set_capabilities(fd, p->capabilities);
	if (rc == 0)
		return 0;
	(void)unlinkat(dir, p->name, 0); /* half of it, of no rights yet */
	return err_num(e, rc, "%s/%s", NEW, p->name);
}

/* Whoever holds one open, or runs it, gets no rights by it any more. */
static int disarm(const char *path, struct err *e)
{
	auto_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int own = dir < 0 ? -1 : fcntl(dir, F_DUPFD_CLOEXEC, 3), more;
	DIR *d = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;

	if (!d) {
		int rc = errno == ENOENT ? 0 : err_sys(e, "%s", path);

		fd_close(&own);
		return rc;
	}
	while ((more = file_next(d, &entry)) > 0) {
		if (entry->d_name[0] == '.')
			continue;
		auto_fd int fd = openat(dir, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0) {
			(void)fremovexattr(fd, "security.capability"); /* it may have none */
			(void)fchmod(fd, 0); /* what cannot be disarmed is deleted all the same */
		}
	}
	closedir(d);
	return more < 0 ? err_num(e, more, "%s", path) : file_delete_tree(AT_FDCWD, path, NULL, e);
}

/* ---- All together -----------------------------------------------------------------------------
 */

/* With numbers, as those are what a file belongs to. A name without one cannot be made from, and
 * copy() says so. */
static void describe(const struct sys_root *r, const struct vec *list, struct str *out)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct privileged *p = list->v[i];
		uint64_t uid = 0, gid = 0, other;
		struct err ignored = ERR_INIT;

		(void)accounts_user(r, p->user, &uid, &other, &ignored);
		(void)accounts_group(r, p->group, &gid, &ignored);
		str_addf(out, "%s %s %llu %llu %d%d %llx\n", p->name, p->program,
			 (unsigned long long)uid, (unsigned long long)gid, p->setuid, p->setgid,
			 (unsigned long long)p->capabilities);
	}
}

static bool is_made(const char *bin, const char *stamp, const struct str *wanted)
{
	auto_str struct str text = STR_INIT;
	struct err ignored = ERR_INIT;

	return access(bin, F_OK) == 0 &&
	       file_read(AT_FDCWD, stamp, &text, LIMIT_ACCOUNTS_FILE, &ignored) == 0 &&
	       slice_eq(str_slice(&text), str_slice(wanted));
}

/* Programs that cannot be made go to failed and to f. */
static int make_new(const struct sys_root *r, const char *fresh, const struct vec *list,
		    struct vec *failed, struct fails *f, struct err *e)
{
	struct err one = ERR_INIT;

	if (mkdir(fresh, 0700) < 0)
		return err_sys(e, "%s", fresh);
	auto_fd int dir = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return err_sys(e, "%s", fresh);
	for (size_t i = 0; i < list->n; i++) {
		struct privileged *p = list->v[i];
		int rc = copy(r, dir, p, &one);

		if (rc == 0)
			continue;
		fails_note(f, err_wrap(&one, rc, "privileged program %s", p->name), &one);
		vec_add(failed, p);
	}
	if (failed->err)
		return err_set(e, -ENOMEM, "out of memory");
	return fchmod(dir, 0755) < 0 ? err_sys(e, "%s", fresh) : 0;
}

/* What could not be made, and was there before, stays as it was. */
static void bring_back(const char *old, const char *bin, const struct vec *failed)
{
	auto_fd int from = open(old, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	auto_fd int to = open(bin, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	for (size_t i = 0; i < failed->n; i++) {
		const struct privileged *p = failed->v[i];

		(void)renameat(from, p->name, to, p->name); /* there may be none */
	}
}

static int swap(const char *fresh, const char *bin, struct err *e)
{
	if (syscall(SYS_renameat2, AT_FDCWD, fresh, AT_FDCWD, bin, EXCHANGE) == 0)
		return 0;
	if (errno != ENOENT || rename(fresh, bin) < 0)
		return err_sys(e, "%s", bin);
	return 0;
}

int privileged_apply(const struct sys_root *r, const struct vec *list, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str wanted = STR_INIT;
	auto_vec struct vec failed = VEC_INIT;
	struct fails f = FAILS_INIT;
	struct err last = ERR_INIT;
	char *dir = sys_root_path(r, &a, PRIVILEGED_DIR), *bin = sys_root_path(r, &a, BIN);
	char *fresh = sys_root_path(r, &a, NEW), *stamp = sys_root_path(r, &a, STAMP);
	int rc;

	describe(r, list, &wanted);
	if (!dir || !bin || !fresh || !stamp || str_err(&wanted))
		return err_set(e, -ENOMEM, "out of memory");
	/* A machine that never had any needs no file system for them. */
	if (!list->n && access(bin, F_OK) < 0)
		return 0;
	rc = mount_own(r, dir, e);
	if (rc < 0 || is_made(bin, stamp, &wanted))
		return rc;
	rc = disarm(fresh, e); /* what an activation that was cut off left */
	if (rc == 0)
		rc = make_new(r, fresh, list, &failed, &f, e);
	if (rc == 0 && unlink(stamp) < 0 && errno != ENOENT)
		rc = err_sys(e, "%s", stamp);
	if (rc == 0)
		rc = swap(fresh, bin, e);
	if (rc == 0)
		bring_back(fresh, bin, &failed);
	/* Without the stamp the next activation tries again. */
	if (rc == 0 && !f.count)
		rc = file_write_atomic(AT_FDCWD, stamp, wanted.buf, wanted.len, 0644, e);
	fails_note(&f, rc, e);
	fails_note(&f, disarm(fresh, &last), &last);
	return fails_end(&f, e);
}
