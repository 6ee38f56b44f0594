/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/format/nar.h"

#define KEEP_DEPTH     256
#define KEEP_MAX       100000 /* trees of one name */
#define KEEP_NOREPLACE 1      /* RENAME_NOREPLACE */

static int open_dir(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void sweep_one(int builds, const char *name)
{
	char lock[300];
	snprintf(lock, sizeof(lock), "%s/lock", name); /* fits: a name has 255 bytes */
	auto_fd int fd = openat(builds, lock, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	bool none = fd < 0 && (errno == ENOENT || errno == ENOTDIR);
	if (none || (fd >= 0 && fd_lock(fd, true, false) == 0)) /* else alive, or who knows */
		(void)file_delete_tree(builds, name, NULL, NULL);
}

/* Delete the directories whose process is dead. Failures are left for the next time. */
static void sweep(int builds)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	if (nar_list_dir(&a, builds, &names))
		return;
	for (size_t i = 0; i < names.n; i++)
		if (*(const char *)names.v[i] != '.')
			sweep_one(builds, names.v[i]);
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

struct heir {
	uid_t from, uid; /* uid -1: nobody, only set-id bits are stripped */
	gid_t gid;
};

static int hand_over(int fd, const struct heir *h, unsigned depth);

/* By what was looked at, whatever its name leads to by now: in directories that the builder opened
 * to others, somebody might exchange them. */
static int change_hands(int fd, mode_t mode, const struct heir *h)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!S_ISLNK(mode) && (mode & 07000) && chmod(path, mode & 0777) < 0)
		return -errno;
	return h->uid != (uid_t)-1 && fchownat(fd, "", h->uid, h->gid, AT_EMPTY_PATH) < 0 ? -errno
											  : 0;
}

static int hand_over_entry(int dirfd, const char *name, const struct heir *h, unsigned depth)
{
	struct stat st;
	auto_fd int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode)) {
		auto_fd int sub = open_dir(fd, ".");
		/* root can: who is not allowed to has built as himself, and nothing changes hands
		 */
		if (sub < 0 && errno != EACCES)
			return -errno;
		int r = sub < 0 ? 0 : hand_over(sub, h, depth + 1);
		if (r)
			return r;
	}
	bool shared = !S_ISDIR(st.st_mode) && st.st_nlink > 1;
	return shared || st.st_uid != h->from ? 0 : change_hands(fd, st.st_mode, h);
}

/* Strip set-id bits and change the owner of what the builder owned, without following anything.
 * A file with other links may be somebody else's: it keeps its owner. */
static int hand_over(int fd, const struct heir *h, unsigned depth)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	int r = depth > KEEP_DEPTH ? -ERR_LIMIT : nar_list_dir(&a, fd, &names);
	for (size_t i = 0; !r && i < names.n; i++)
		r = hand_over_entry(fd, names.v[i], h, depth);
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
	int r = hand_over(fd, &(struct heir){ from, uid, gid }, 0);
	if (r == -ERR_LIMIT)
		return err_set(e, r, "the tree of a failed build is nested too deeply to be kept");
	if (r)
		return err_num(e, r, "cannot hand over the tree of a failed build");
	if (fchmod(fd, 0755) < 0)
		return err_sys(e, "cannot open up the tree of a failed build");
	char to[300];
	r = -EEXIST;
	for (unsigned i = 0; r == -EEXIST && i < KEEP_MAX; i++) {
		snprintf(to, sizeof(to), "%s-%u", name, i);
		/* musl has no function for it. */
		r = syscall(SYS_renameat2, dirfd, name, failed, to, KEEP_NOREPLACE) ? -errno : 0;
	}
	if (r)
		return err_num(e, r, "cannot keep the tree of a failed build in %s/failed",
			       l->state_phys);
	if (uid != (uid_t)-1 && fchown(fd, uid, gid) < 0)
		return err_sys(e, "cannot give away %s/failed/%s", l->state_phys, to);
	str_addf(ret, "%s/failed/%s", l->state_phys, to);
	return 0;
}
