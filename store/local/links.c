/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/links.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "store/limits.h"
#include "store/format/nar.h"

#define COMPARE_BYTES ((size_t)64 << 10)

struct linker {
	struct local *l;
	int links_fd; /* owned */
	uint64_t saved;
	bool full; /* no room for more names: give up quietly */
	unsigned depth;
	struct err *e;
};

static int open_links(struct local *l, int *ret, struct err *e)
{
	int fd;

	if (mkdirat(l->store_fd, ".links", 0755) < 0 && errno != EEXIST)
		return err_sys(e, "make the directory %s/.links", l->store_phys);
	fd = openat(l->store_fd, ".links", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, "open %s/.links", l->store_phys);
	*ret = fd;
	return 0;
}

/* Directories of items are read-only: writable for the time of one rename, then as before. */
static int rename_over(struct linker *k, const char *tmp, int dirfd, const char *name)
{
	static const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };
	bool item_dir = dirfd != k->l->store_fd;
	int r;

	if (item_dir && fchmod(dirfd, 0755) < 0)
		return -errno;
	r = renameat(k->l->store_fd, tmp, dirfd, name) < 0 ? -errno : 0;
	if (item_dir && (fchmod(dirfd, 0555) < 0 || futimens(dirfd, times) < 0) && r == 0)
		r = -errno;
	return r;
}

/* Whether two files of one size have the same bytes: the disk may have damaged one since its hash
 * was taken, and that must not spread. */
static int same_bytes(struct linker *k, const char *key, int dirfd, const char *name, bool *ret)
{
	auto_fd int a = openat(k->links_fd, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_fd int b = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_free char *buf = mem_realloc(NULL, 2 * COMPARE_BYTES);
	struct stat st;
	int r = 0;

	if (a < 0 || b < 0 || fstat(b, &st) < 0)
		return err_sys(k->e, "compare %s", name);
	if (!buf)
		return err_num(k->e, -ENOMEM, "compare %s", name);
	*ret = true;
	for (uint64_t left = (uint64_t)st.st_size; r == 0 && *ret && left;) {
		size_t n = (size_t)MIN_OF(left, (uint64_t)COMPARE_BYTES);

		r = fd_read_full(a, buf, n);
		if (r == 0)
			r = fd_read_full(b, buf + COMPARE_BYTES, n);
		*ret = r == 0 && memcmp(buf, buf + COMPARE_BYTES, n) == 0;
		left -= n;
	}
	return r < 0 ? err_num(k->e, r, "compare %s", name) : 0;
}

/* Replace dirfd/name by one more link to .links/key. */
static int replace(struct linker *k, const char *key, int dirfd, const char *name,
		   const struct stat *st)
{
	char tmp[64];
	uint32_t random;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_sys(k->e, "random number");
	snprintf(tmp, sizeof(tmp), ".tmp-link-%d-%u", (int)getpid(), (unsigned)random);
	if (linkat(k->links_fd, key, k->l->store_fd, tmp, 0) < 0)
		return errno == EMLINK || errno == ENOENT ? 0 : err_sys(k->e, "link %s", name);
	r = rename_over(k, tmp, dirfd, name);
	if (r < 0) {
		(void)unlinkat(k->l->store_fd, tmp, 0);
		return r == -EMLINK ? 0 : err_num(k->e, r, "replace %s by a link", name);
	}
	/* Nothing happens when both were one file already, and the name stays. */
	(void)unlinkat(k->l->store_fd, tmp, 0);
	k->saved += (uint64_t)st->st_blocks * 512;
	return 0;
}

static int link_file(struct linker *k, int dirfd, const char *name, const struct stat *st,
		     const struct digest *known)
{
	struct digest d;
	struct stat old;
	char key[DIGEST_TEXT_MAX];
	bool same;
	int r = 0;

	if (known)
		d = *known;
	else
		r = nar_hash(dirfd, name, DIGEST_SHA256, NULL, NULL, &d, NULL, k->e);
	if (r < 0)
		return r;
	digest_base32(&d, key);
	for (int tries = 0; tries < 8; tries++) {
		if (linkat(dirfd, name, k->links_fd, key, 0) == 0)
			return 0;
		if (errno == ENOSPC || errno == EDQUOT)
			k->full = true;
		/* EPERM: not ours to link. In none of these cases is anything wrong with the item.
		 */
		if (k->full || errno == EMLINK || errno == EPERM)
			return 0;
		if (errno != EEXIST)
			return err_sys(k->e, "link %s into .links", name);
		if (fstatat(k->links_fd, key, &old, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (old.st_ino == st->st_ino && old.st_dev == st->st_dev)
			return 0;
		same = false;
		if (old.st_size == st->st_size)
			r = same_bytes(k, key, dirfd, name, &same);
		if (r < 0 || same)
			return r < 0 ? r : replace(k, key, dirfd, name, st);
		if (unlinkat(k->links_fd, key, 0) < 0 && errno != ENOENT)
			return err_sys(k->e, "remove a damaged entry of .links");
	}
	return 0;
}

static int link_tree(struct linker *k, int dirfd, const char *name, const struct digest *known)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	auto_fd int fd = -1;
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(k->e, "%s", name);
	if (S_ISREG(st.st_mode))
		return st.st_size < LINKS_SIZE_MIN || (st.st_mode & 0200)
			       ? 0
			       : link_file(k, dirfd, name, &st, known);
	if (!S_ISDIR(st.st_mode) || k->depth == LIMIT_NAR_DEPTH) /* deeper is none of ours */
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(k->e, "open %s", name);
	r = nar_list_dir(&a, fd, &names);
	if (r < 0)
		return err_num(k->e, r, "list %s", name);
	k->depth++;
	for (size_t i = 0; r == 0 && !k->full && i < names.n; i++)
		r = link_tree(k, fd, names.v[i], NULL);
	k->depth--;
	return r;
}

int links_tree(struct local *l, const char *base, const struct digest *known, uint64_t *ret_saved,
	       struct err *e)
{
	struct linker k = { .l = l, .links_fd = -1, .e = e };
	struct stat st;
	int r;

	if (fstatat(l->store_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "%s", base);
	if (!S_ISDIR(st.st_mode) && st.st_size < LINKS_SIZE_MIN)
		return 0;
	r = open_links(l, &k.links_fd, e);
	if (r == 0)
		r = link_tree(&k, l->store_fd, base, known);
	fd_close(&k.links_fd);
	if (r == 0 && ret_saved)
		*ret_saved = k.saved;
	return r;
}

/* ---- Entries that nothing uses -----------------------------------------------------------------
 */

void links_note(void *arg, const struct stat *st)
{
	struct links_lost *lost = arg;

	if (lost->all || !S_ISREG(st->st_mode) || st->st_nlink != 2 || st->st_size < LINKS_SIZE_MIN)
		return;
	if (lost->n == lost->cap) {
		size_t cap = lost->cap ? 2 * lost->cap : 1024;
		uint64_t *p = mem_realloc(lost->inodes, cap * sizeof(*p));

		if (!p) {
			lost->all = true;
			return;
		}
		lost->inodes = p;
		lost->cap = cap;
	}
	lost->inodes[lost->n++] = st->st_ino;
}

static int inode_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool is_lost(const struct links_lost *lost, uint64_t inode)
{
	return lost->all ||
	       bsearch(&inode, lost->inodes, lost->n, sizeof(*lost->inodes), inode_cmp);
}

static int prune_entry(struct local *l, int fd, const char *name, uint64_t *bytes, struct err *e)
{
	struct stat st;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s/.links/%s", l->store_phys, name);
	if (st.st_nlink > 1 && st.st_size >= LINKS_SIZE_MIN)
		return 0;
	if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s/.links/%s", l->store_phys, name);
	if (st.st_nlink == 1)
		*bytes += (uint64_t)st.st_blocks * 512;
	return 0;
}

static int prune_all(struct local *l, const struct links_lost *lost, uint64_t *bytes, struct err *e)
{
	int fd = -1, more = 0, r = open_links(l, &fd, e);
	DIR *dir = r < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;

	if (r < 0)
		return r;
	if (!dir) {
		r = err_sys(e, "list %s/.links", l->store_phys);
		fd_close(&fd);
		return r;
	}
	/* The number of the file stands in the directory: of the others none is looked at. */
	while (r == 0 && (more = file_next(dir, &ent)) > 0)
		if (ent->d_name[0] != '.' && is_lost(lost, ent->d_ino))
			r = prune_entry(l, fd, ent->d_name, bytes, e);
	if (r == 0 && more < 0)
		r = err_num(e, more, "list %s/.links", l->store_phys);
	closedir(dir);
	return r;
}

int links_prune(struct local *l, struct links_lost *lost, uint64_t *ret_bytes, struct err *e)
{
	uint64_t bytes = 0;
	int r = 0;

	if (lost->n)
		qsort(lost->inodes, lost->n, sizeof(*lost->inodes), inode_cmp);
	if (lost->n || lost->all)
		r = prune_all(l, lost, &bytes, e);
	if (r == 0)
		*ret_bytes = bytes;
	return r;
}

void links_lost_done(struct links_lost *lost)
{
	free(lost->inodes);
	*lost = (struct links_lost){ .n = 0 };
}
