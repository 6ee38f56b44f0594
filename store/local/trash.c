/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/trash.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "store/format/nar.h"

static void count_failure(struct trash *t, const struct err *e)
{
	if (!t->failed++)
		t->first = *e;
}

static void delete (struct trash *t, int dirfd, const char *name)
{
	struct err inner = ERR_INIT;
	uint64_t bytes = 0;

	if (file_delete_tree_linked(dirfd, name, links_note, &t->lost, &bytes, &inner) < 0)
		count_failure(t, &inner);
	t->bytes += bytes;
}

/* One by one: what cannot be deleted must not keep the rest. */
static int delete_all(struct trash *t, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	uint64_t bytes = 0;
	int r = t->fd < 0 ? 0 : nar_list_dir(&a, t->fd, &names);

	if (r < 0)
		return err_num(e, r, "list %s/" TRASH_NAME, t->l->store_phys);
	for (size_t i = 0; i < names.n; i++) {
		if (t->stop && t->stop(t->arg))
			return err_set(e, -EINTR, "interrupted; the rest is deleted next time");
		delete (t, t->fd, names.v[i]);
	}
	r = links_prune(t->l, &t->lost, &bytes, e);
	t->bytes += bytes;
	return r;
}

static int open_dir(struct trash *t, struct err *e)
{
	int fd = t->l->store_fd;
	bool is_new = mkdirat(fd, TRASH_NAME, 0700) == 0;

	if (!is_new && errno != EEXIST) {
		t->lost.all = true; /* if this run ends early nobody will know what it deleted */
		return errno == ENOSPC || errno == EDQUOT
			       ? 0
			       : err_sys(e, "make the directory %s/" TRASH_NAME, t->l->store_phys);
	}
	t->fd = openat(fd, TRASH_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (t->fd < 0)
		return err_sys(e, "open %s/" TRASH_NAME, t->l->store_phys);
	/* It is removed last, so the run that left it may have removed names of files, and not
	 * those in .links. */
	t->lost.all = !is_new;
	return is_new ? 0 : delete_all(t, e);
}

int trash_open(struct trash *t, struct local *l, local_stop_fn *stop, void *arg, struct err *e)
{
	int r;

	*t = (struct trash){
		.l = l, .stop = stop, .arg = arg, .lock = -1, .fd = -1, .first = ERR_INIT
	};
	t->lock =
		openat(l->state_fd, "trash.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t->lock < 0)
		return err_sys(e, "open %s/trash.lock", l->state_phys);
	r = fd_lock(t->lock, true, true);
	if (r < 0)
		return err_num(e, r, "lock %s/trash.lock", l->state_phys);
	r = open_dir(t, e);
	if (r == 0) {
		links_lost_done(&t->lost);
		t->failed = 0; /* they are tried again, and counted then */
	}
	return r;
}

void trash_take(struct trash *t, const char *name)
{
	int fd = t->l->store_fd;
	struct stat st;
	char to[32];

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			delete (t, fd, name); /* fails, and says why */
		return;
	}
	/* Changing the parent of a directory takes write permission on it. */
	if (S_ISDIR(st.st_mode))
		(void)fchmodat(fd, name, (st.st_mode & 07777) | 0700, 0);
	do {
		snprintf(to, sizeof(to), "%u", t->serial++);
		if (t->fd >= 0 && renameat(fd, name, t->fd, to) == 0)
			return;
	} while (t->fd >= 0 &&
		 (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR || errno == EISDIR));
	delete (t, fd, name);
}

int trash_empty(struct trash *t, struct err *e)
{
	struct err inner = ERR_INIT;
	int r = delete_all(t, e);

	if (r < 0 || t->fd < 0)
		return r;
	fd_close(&t->fd);
	if (unlinkat(t->l->store_fd, TRASH_NAME, AT_REMOVEDIR) < 0 && errno != ENOENT &&
	    errno != ENOTEMPTY && errno != EEXIST) {
		(void)err_sys(&inner, "remove %s/" TRASH_NAME, t->l->store_phys);
		count_failure(t, &inner);
	}
	return 0;
}

int trash_verdict(const struct trash *t, struct err *e)
{
	if (!t->failed)
		return 0;
	return err_set(e, -EIO, "%zu thing%s could not be deleted: %s", t->failed,
		       t->failed == 1 ? "" : "s", t->first.msg);
}

void trash_close(struct trash *t)
{
	fd_close(&t->fd);
	fd_close(&t->lock);
	links_lost_done(&t->lost);
}
