/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Locks, temporary roots, and the directory for trees without a name. All locks are
 * open-file-description locks: they exclude the classic locks of Guix's tools, belong to one
 * descriptor, and do not vanish when some other descriptor of the file is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "store/local/local-state.h"

#define AWAIT_TRIES    1000
#define AWAIT_PAUSE_NS 2000000

/* ---- Locks of paths ---------------------------------------------------------------------------
 */

/* Lock dirfd/name. A lock file is deleted by whoever holds it: unlink, then one byte into the file,
 * so that those who have it open already see that it is no longer the one by that name. */
static int lock_file(int dirfd, const char *name, bool wait, int *ret)
{
	for (;;) {
		auto_fd int fd =
			openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		struct stat st;
		int r;

		if (fd < 0)
			return -errno;
		r = fd_lock(fd, true, wait);
		if (r < 0)
			return r;
		if (fstat(fd, &st) < 0)
			return -errno;
		if (st.st_size == 0 && st.st_nlink > 0) {
			*ret = fd_take(&fd);
			return 0;
		}
	}
}

static int lock_one(struct local *l, const char *path, bool wait, struct local_lock_file *ret,
		    struct err *e)
{
	struct str name = STR_INIT;
	int r, fd = -1;

	str_addf(&name, "%s.lock", local_base(l, path));
	ret->name = str_take(&name);
	if (!ret->name)
		return err_num(e, -ENOMEM, "lock %s", path);
	r = lock_file(l->store_fd, ret->name, false, &fd);
	if (r == -EAGAIN && wait) {
		/* Whoever has it may wait for a lock that we keep for pending paths. */
		r = local_flush(l, e);
		if (r < 0)
			return r;
		r = lock_file(l->store_fd, ret->name, true, &fd);
	}
	if (r < 0)
		return err_num(e, r, "lock %s", path);
	ret->fd = fd;
	return 0;
}

int local_lock_more(struct local *l, const char *const *paths, size_t n, bool wait,
		    struct local_locks *ret, struct err *e)
{
	struct local_locks locks = LOCAL_LOCKS_INIT;
	auto_vec struct vec sorted = VEC_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = local_check_path(l, paths[i], e);
		vec_add(&sorted, (void *)(uintptr_t)paths[i]);
	}
	if (r < 0)
		return r;
	vec_sort_str(&sorted);
	vec_uniq_str(&sorted);
	locks.v = mem_zalloc((sorted.n + 1) * sizeof(*locks.v));
	if (!locks.v || sorted.err < 0) {
		free(locks.v);
		return err_num(e, -ENOMEM, "lock paths");
	}
	for (size_t i = 0; r == 0 && i < sorted.n; i++) {
		locks.v[i].fd = -1;
		locks.n = i + 1;
		r = lock_one(l, sorted.v[i], wait, &locks.v[i], e);
	}
	if (r < 0) {
		local_unlock(l, &locks, true);
		return r;
	}
	*ret = locks;
	return 0;
}

int local_lock_paths(struct local *l, const char *const *paths, size_t n, bool wait,
		     struct local_locks *ret, struct err *e)
{
	/* What follows may take long, and others wait for what we have pending. */
	int r = local_flush(l, e);

	return r < 0 ? r : local_lock_more(l, paths, n, wait, ret, e);
}

void local_unlock(struct local *l, struct local_locks *locks, bool remove)
{
	for (size_t i = 0; i < locks->n; i++) {
		struct local_lock_file *f = &locks->v[i];

		if (remove && f->fd >= 0) {
			(void)unlinkat(l->store_fd, f->name, 0); /* a stale lock file is harmless */
			(void)!write(f->fd, "d", 1); /* so is one without a mark: it has no name */
		}
		fd_close(&f->fd);
		free(f->name);
	}
	free(locks->v);
	*locks = (struct local_locks)LOCAL_LOCKS_INIT;
}

int local_gc_lock(struct local *l, bool exclusive, bool wait, int *ret_fd, struct err *e)
{
	auto_fd int fd =
		openat(l->state_fd, "gc.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return err_sys(e, "open %s/gc.lock", l->state_phys);
	r = fd_lock(fd, exclusive, wait);
	if (r < 0)
		return err_num(e, r, "lock %s/gc.lock", l->state_phys);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* ---- Temporary roots --------------------------------------------------------------------------
 */

/* The file of this process. Called with the collector held off, so a file with our number that can
 * be locked belongs to a dead process; one that cannot be belongs to a live one of another PID
 * namespace, and we take the next name. */
static int roots_open(struct local *l, struct err *e)
{
	struct local_state *s = l->state;

	for (unsigned k = 0; k < 1000; k++) {
		auto_fd int fd = -1;
		struct stat st;
		int r;

		if (k)
			snprintf(s->roots_name, sizeof(s->roots_name), "temproots/%d.%u",
				 (int)s->pid, k);
		else
			snprintf(s->roots_name, sizeof(s->roots_name), "temproots/%d", (int)s->pid);
		fd = openat(l->state_fd, s->roots_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			    0600);
		if (fd < 0)
			return err_sys(e, "open %s/%s", l->state_phys, s->roots_name);
		r = fd_lock(fd, true, false);
		if (r == -EAGAIN)
			continue;
		if (r == 0 && (ftruncate(fd, 0) < 0 || fstat(fd, &st) < 0))
			r = -errno;
		if (r == 0 && !st.st_nlink)
			continue;
		if (r == 0)
			r = fd_lock(fd, false, true);
		if (r < 0)
			return err_num(e, r, "lock %s/%s", l->state_phys, s->roots_name);
		s->roots_fd = fd_take(&fd);
		return 0;
	}
	return err_set(e, -ERR_LIMIT, "no free name for a file of temporary roots in %s/temproots",
		       l->state_phys);
}

int local_temp_root(struct local *l, const char *path, struct err *e)
{
	struct local_state *s = l->state;
	char *key;
	int r = 0, gc_fd = -1;

	if (tab_has(&s->roots, slice_of(path)))
		return 0;
	if (s->roots_fd < 0) {
		r = local_gc_lock(l, false, true, &gc_fd, e);
		if (r == 0)
			r = roots_open(l, e);
		fd_close(&gc_fd);
	}
	if (r < 0)
		return r;
	key = arena_str(&s->roots_arena, path);
	if (!key)
		return err_num(e, -ENOMEM, "temporary root");
	/* Waits while a collection runs: it keeps a lock on our file. */
	r = fd_lock(s->roots_fd, true, true);
	if (r == 0)
		r = fd_write_full(s->roots_fd, key, strlen(key) + 1);
	if (r == 0)
		r = fd_lock(s->roots_fd, false, true);
	if (r < 0)
		return err_num(e, r, "write %s/%s", l->state_phys, s->roots_name);
	return tab_put(&s->roots, slice_of(key), NULL) ? 0 : err_num(e, -ENOMEM, "temporary root");
}

void local_roots_done(struct local *l, bool forked)
{
	struct local_state *s = l->state;

	if (s->roots_fd >= 0 && !forked)
		(void)unlinkat(l->state_fd, s->roots_name, 0); /* else the collector does it */
	fd_close(&s->roots_fd);
	tab_done(&s->roots);
	arena_done(&s->roots_arena);
}

/* ---- Trees without a name ---------------------------------------------------------------------
 */

static int tmp_make(struct local *l, struct err *e)
{
	struct local_state *s = l->state;
	auto_str struct str path = STR_INIT;
	uint32_t random;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, "random number");
	snprintf(s->tmp_name, sizeof(s->tmp_name), ".tmp-dir-%d-%08x", (int)s->pid,
		 (unsigned)random);
	str_addf(&path, "%s/%s", l->store_dir, s->tmp_name);
	if (str_err(&path) < 0)
		return err_num(e, -ENOMEM, "temporary directory");
	r = local_temp_root(l, path.buf, e);
	if (r < 0)
		return r;
	if (mkdirat(l->store_fd, s->tmp_name, 0700) < 0)
		return err_sys(e, "make the directory %s/%s", l->store_phys, s->tmp_name);
	s->tmp_fd =
		openat(l->store_fd, s->tmp_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->tmp_fd < 0)
		return err_sys(e, "open %s/%s", l->store_phys, s->tmp_name);
	return 0;
}

int local_tmp_dir(struct local *l, int *ret_dirfd, struct err *e)
{
	struct local_state *s = l->state;
	struct stat st;
	int r = 0;

	/* Somebody may have cleaned the store by hand. */
	if (s->tmp_fd >= 0 && (fstat(s->tmp_fd, &st) < 0 || !st.st_nlink))
		fd_close(&s->tmp_fd);
	if (s->tmp_fd < 0)
		r = tmp_make(l, e);
	if (r == 0)
		*ret_dirfd = s->tmp_fd;
	return r;
}

void local_tmp_name(struct local *l, char out[32])
{
	snprintf(out, 32, "%u", l->state->tmp_count++);
}

void local_tmp_done(struct local *l, bool forked)
{
	struct local_state *s = l->state;

	if (s->tmp_fd >= 0 && !forked)
		(void)file_delete_tree(l->store_fd, s->tmp_name, NULL,
				       NULL); /* else the collector */
	fd_close(&s->tmp_fd);
}

/* ---- Paths on their way ----------------------------------------------------------------------
 */

/* Until nobody holds the lock of path; longer than anybody needs who only waits for the disk. */
static void await_lock(struct local *l, const char *path)
{
	struct local_locks locks = LOCAL_LOCKS_INIT;
	struct timespec pause = { 0, AWAIT_PAUSE_NS };

	for (unsigned i = 0; i < AWAIT_TRIES; i++) {
		int r = local_lock_paths(l, &path, 1, false, &locks, NULL);

		if (r == 0)
			local_unlock(l, &locks, true);
		if (r != -EAGAIN)
			return;
		nanosleep(&pause, NULL);
	}
}

int local_await_valid(struct local *l, const char *path, bool *ret, struct err *e)
{
	struct stat st;
	int r = local_is_valid(l, path, ret, e);

	if (r < 0 || *ret ||
	    fstatat(l->store_fd, local_base(l, path), &st, AT_SYMLINK_NOFOLLOW) < 0)
		return r;
	r = local_flush(l, e); /* who has the lock may wait for what we hold */
	if (r < 0)
		return r;
	await_lock(l, path);
	return local_is_valid(l, path, ret, e);
}
