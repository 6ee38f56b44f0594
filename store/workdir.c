/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/workdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"

#define KEEP_DEPTH     256
#define KEEP_NOREPLACE 1 /* RENAME_NOREPLACE */

static int open_dir(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Delete the directories whose process is dead. Failures are left for the next time. */
static void sweep(int builds)
{
	int dup = open_dir(builds, ".");
	DIR *d = dup < 0 ? NULL : fdopendir(dup);
	if (!d) {
		fd_close(&dup);
		return;
	}
	for (struct dirent *ent; (ent = readdir(d));) {
		if (ent->d_name[0] == '.')
			continue;
		char lock[300];
		snprintf(lock, sizeof(lock), "%s/lock", ent->d_name);
		auto_fd int fd = openat(builds, lock, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		bool none = fd < 0 && (errno == ENOENT || errno == ENOTDIR);
		if (!none && (fd < 0 || fd_lock(fd, true, false)))
			continue; /* alive, or who knows */
		(void)file_delete_tree(builds, ent->d_name, NULL, NULL);
	}
	closedir(d);
}

static int make_own(struct workdir *w, int builds, struct local *l, struct err *e)
{
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(w->name, sizeof(w->name), "%d.%u", (int)getpid(), i);
		if (mkdirat(builds, w->name, 0700) == 0)
			break;
		if (errno != EEXIST)
			return err_sys(e, "cannot make %s/builds/%s", l->state_phys, w->name);
	}
	auto_fd int fd = open_dir(builds, w->name);
	if (fd < 0)
		return err_sys(e, "cannot open %s/builds/%s", l->state_phys, w->name);
	w->lock = openat(fd, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (w->lock < 0)
		return err_sys(e, "cannot make %s/builds/%s/lock", l->state_phys, w->name);
	int r = fd_lock(w->lock, true, false);
	if (r)
		return err_num(e, r, "cannot lock %s/builds/%s", l->state_phys, w->name);
	w->fd = fd_take(&fd);
	return 0;
}

int workdir_make(struct workdir *w, struct local *l, struct err *e)
{
	if (w->fd >= 0)
		return 0;
	if (mkdirat(l->state_fd, "builds", 0755) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make %s/builds", l->state_phys);
	auto_fd int builds = open_dir(l->state_fd, "builds");
	if (builds < 0)
		return err_sys(e, "cannot open %s/builds", l->state_phys);
	/* Held while making and sweeping, so that nobody sweeps a directory not yet locked. */
	auto_fd int gate = openat(builds, ".gate", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (gate < 0)
		return err_sys(e, "cannot open %s/builds/.gate", l->state_phys);
	int r = fd_lock(gate, true, true);
	if (r)
		return err_num(e, r, "cannot lock %s/builds/.gate", l->state_phys);
	sweep(builds);
	return make_own(w, builds, l, e);
}

void workdir_remove(struct workdir *w, struct local *l)
{
	if (w->fd >= 0) {
		auto_fd int builds = open_dir(l->state_fd, "builds");
		if (builds >= 0) /* what cannot be deleted is swept later */
			(void)file_delete_tree(builds, w->name, NULL, NULL);
	}
	fd_close(&w->fd);
	fd_close(&w->lock);
}

/* Strip set-id bits and change the owner of what the builder owned, without following anything.
 * A file with other links may be somebody else's: it keeps its owner. */
static int hand_over(int fd, uid_t from, uid_t uid, gid_t gid, unsigned depth)
{
	if (depth > KEEP_DEPTH) {
		fd_close(&fd);
		return -ERR_LIMIT;
	}
	DIR *d = fdopendir(fd); /* takes fd */
	if (!d) {
		fd_close(&fd);
		return -errno;
	}
	int r = 0;
	for (struct dirent *ent; !r && (ent = readdir(d));) {
		struct stat st;
		if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			int sub = open_dir(dirfd(d), ent->d_name);
			if (sub >= 0)
				r = hand_over(sub, from, uid, gid, depth + 1);
		}
		bool shared = !S_ISDIR(st.st_mode) && st.st_nlink > 1;
		if (r || shared || st.st_uid != from)
			continue;
		if (!S_ISLNK(st.st_mode) && (st.st_mode & 07000))
			(void)fchmodat(dirfd(d), ent->d_name, st.st_mode & 0777, 0);
		if (uid != (uid_t)-1 &&
		    fchownat(dirfd(d), ent->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
	}
	closedir(d);
	return r;
}

int workdir_keep(struct local *l, int dirfd, const char *name, uid_t from, uid_t uid, gid_t gid,
		 struct str *ret, struct err *e)
{
	if (mkdirat(l->state_fd, "failed", 0755) < 0 && errno != EEXIST)
		return err_sys(e, "cannot make %s/failed", l->state_phys);
	auto_fd int failed = open_dir(l->state_fd, "failed");
	auto_fd int fd = open_dir(dirfd, name);
	if (failed < 0 || fd < 0)
		return err_sys(e, "cannot open the tree of a failed build");
	int sub = open_dir(fd, ".");
	int r = sub < 0 ? -errno : hand_over(sub, from, uid, gid, 0);
	if (r == -ERR_LIMIT)
		return err_set(e, r, "the tree of a failed build is nested too deeply to be kept");
	if (r)
		return err_num(e, r, "cannot hand over the tree of a failed build");
	if (fchmod(fd, 0755) < 0)
		return err_sys(e, "cannot open up the tree of a failed build");
	char to[300];
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(to, sizeof(to), "%s-%u", name, i);
		/* musl has no function for it. */
		if (syscall(SYS_renameat2, dirfd, name, failed, to, KEEP_NOREPLACE) == 0)
			break;
		if (errno != EEXIST)
			return err_sys(e, "cannot keep the tree of a failed build");
	}
	if (uid != (uid_t)-1 && fchown(fd, uid, gid) < 0)
		return err_sys(e, "cannot give away %s/failed/%s", l->state_phys, to);
	str_addf(ret, "%s/failed/%s", l->state_phys, to);
	return 0;
}
