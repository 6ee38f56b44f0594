/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/freed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/arena.h"
#include "lib/fd.h"

#define LIMIT_DEPTH 2048

/* A name of a file that has others. */
struct name {
	uint64_t inode, links, bytes;
};

struct count {
	uint64_t bytes;
	struct arena arena;
	struct vec names; /* struct name */
};

static void see(struct count *c, const struct stat *st)
{
	uint64_t bytes = (uint64_t)st->st_blocks * 512;
	struct name x = { st->st_ino, st->st_nlink, bytes };

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		c->bytes += bytes;
	else
		vec_add(&c->names, arena_dup(&c->arena, &x, sizeof(x)));
}

static int walk(struct count *c, int dir, const char *name, unsigned depth, struct err *e)
{
	struct dirent *entry;
	struct stat st;
	int rc = 0, more = 0;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s", name);
	see(c, &st);
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth == LIMIT_DEPTH)
		return err_set(e, -ERR_LIMIT, "%s: directories are too deep", name);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		rc = err_sys(e, "%s", name);
		fd_close(&fd);
		return rc;
	}
	while (rc == 0 && (more = file_next(d, &entry)) > 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = walk(c, dirfd(d), entry->d_name, depth + 1, e);
	closedir(d);
	return rc == 0 && more < 0 ? err_num(e, more, "%s", name) : rc;
}

static int by_inode(const void *a, const void *b)
{
	const struct name *x = *(const struct name *const *)a, *y = *(const struct name *const *)b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

/* The files all of whose names go. */
static void add_linked(struct count *c, bool optimised)
{
	for (size_t i = 0, k; i < c->names.n; i = k) {
		const struct name *x = c->names.v[i];

		for (k = i + 1; k < c->names.n; k++)
			if (((const struct name *)c->names.v[k])->inode != x->inode)
				break;
		if (k - i + optimised >= x->links)
			c->bytes += x->bytes;
	}
}

int freed_by(const struct vec *paths, bool optimised, uint64_t *ret_bytes, struct err *e)
{
	struct count c = { 0, ARENA_INIT, VEC_INIT };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < paths->n; i++)
		rc = walk(&c, AT_FDCWD, paths->v[i], 0, e);
	if (rc == 0 && (c.names.err || arena_err(&c.arena)))
		rc = err_set(e, -ENOMEM, "out of memory");
	if (rc == 0 && c.names.n)
		qsort(c.names.v, c.names.n, sizeof(void *), by_inode);
	if (rc == 0) {
		add_linked(&c, optimised);
		*ret_bytes = c.bytes;
	}
	vec_done(&c.names);
	arena_done(&c.arena);
	return rc;
}
