/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/local/treediff.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/limits.h"
#include "store/format/nar.h"

struct diff {
	treediff_fn *tell;
	void *arg;
	struct str rel;
	struct err *e;
};

/* An entry of each tree. */
struct pair {
	int fd[2];
	const char *name[2];
	struct stat st[2];
};

static void tell(struct diff *d, const char *what)
{
	d->tell(d->arg, d->rel.buf, what);
}

static int open_both(struct diff *d, const struct pair *p, int flags, int ret[2])
{
	for (int i = 0; i < 2; i++) {
		ret[i] = openat(p->fd[i], p->name[i], flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (ret[i] < 0) {
			int r = err_sys(d->e, "cannot open %s", p->name[i]);

			if (i)
				fd_close(&ret[0]);
			return r;
		}
	}
	return 0;
}

static int compare_files(struct diff *d, const struct pair *p)
{
	static char buf[2][64 << 10];
	int fd[2] = { -1, -1 }, r = open_both(d, p, 0, fd);
	uint64_t left = (uint64_t)p->st[0].st_size;
	bool same = p->st[0].st_size == p->st[1].st_size;

	while (r == 0 && same && left) {
		size_t n = (size_t)MIN_OF(left, (uint64_t)sizeof(buf[0]));

		for (int i = 0; r == 0 && i < 2; i++)
			r = fd_read_full(fd[i], buf[i], n);
		if (r < 0)
			err_num(d->e, r, "cannot read %s", p->name[0]);
		same = r == 0 && !memcmp(buf[0], buf[1], n);
		left -= n;
	}
	fd_close(&fd[0]);
	fd_close(&fd[1]);
	if (r == 0 && !same)
		tell(d, "contents differ");
	if (r == 0 && ((p->st[0].st_mode ^ p->st[1].st_mode) & 0100))
		tell(d, "one is executable");
	return r;
}

static int compare_links(struct diff *d, const struct pair *p)
{
	auto_str struct str a = STR_INIT, b = STR_INIT;
	int r = file_readlink(p->fd[0], p->name[0], &a, d->e);

	if (r == 0)
		r = file_readlink(p->fd[1], p->name[1], &b, d->e);
	if (r == 0 && !slice_eq(str_slice(&a), str_slice(&b)))
		tell(d, "link targets differ");
	return r;
}

static int compare(struct diff *d, struct pair *p, unsigned depth);

/* Both lists are sorted. */
static int compare_lists(struct diff *d, const int fd[2], const struct vec *a, const struct vec *b,
			 unsigned depth)
{
	size_t i = 0, k = 0, len = d->rel.len;
	int r = 0;

	while (r == 0 && (i < a->n || k < b->n)) {
		int c = i >= a->n ? 1 : k >= b->n ? -1 : strcmp(a->v[i], b->v[k]);
		const char *name = c <= 0 ? a->v[i] : b->v[k];
		struct pair p = { .fd = { fd[0], fd[1] }, .name = { name, name } };

		str_addf(&d->rel, "/%s", name);
		if (c)
			tell(d, c < 0 ? "only here" : "only there");
		else
			r = compare(d, &p, depth + 1);
		str_cut(&d->rel, len);
		i += c <= 0;
		k += c >= 0;
	}
	return r;
}

static int compare_dirs(struct diff *d, const struct pair *p, unsigned depth)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec here = VEC_INIT, there = VEC_INIT;
	struct vec *names[2] = { &here, &there };
	int fd[2] = { -1, -1 }, r;

	if (depth > LIMIT_NAR_DEPTH)
		return err_set(d->e, -ERR_LIMIT, "directories are nested too deeply");
	r = open_both(d, p, O_DIRECTORY, fd);
	for (int i = 0; r == 0 && i < 2; i++) {
		r = nar_list_dir(&a, fd[i], names[i]);
		if (r < 0)
			err_num(d->e, r, "cannot read the directory %s", p->name[i]);
	}
	if (r == 0)
		r = compare_lists(d, fd, &here, &there, depth);
	fd_close(&fd[0]);
	fd_close(&fd[1]);
	return r;
}

static int compare(struct diff *d, struct pair *p, unsigned depth)
{
	for (int i = 0; i < 2; i++)
		if (fstatat(p->fd[i], p->name[i], &p->st[i], AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(d->e, "cannot look at %s", p->name[i]);
	if ((p->st[0].st_mode ^ p->st[1].st_mode) & S_IFMT) {
		tell(d, "of different types");
		return 0;
	}
	return S_ISDIR(p->st[0].st_mode)   ? compare_dirs(d, p, depth)
	       : S_ISLNK(p->st[0].st_mode) ? compare_links(d, p)
					   : compare_files(d, p);
}

int treediff(int afd, const char *a, int bfd, const char *b, treediff_fn *fn, void *arg,
	     struct err *e)
{
	struct diff d = { .tell = fn, .arg = arg, .rel = STR_INIT, .e = e };
	struct pair p = { .fd = { afd, bfd }, .name = { a, b } };
	int r = compare(&d, &p, 0);

	if (r == 0 && str_err(&d.rel))
		r = err_set(e, -ENOMEM, "out of memory");
	str_done(&d.rel);
	return r;
}
