/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading archives into trees: see nar.c. Grammar and order are checked before anything is made.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "store/format/nar-words.h"
#include "store/limits.h"

struct restorer {
	struct nar_words w;
	bool canonical;
	unsigned depth;
	char *buf; /* owned, NAR_BUF */
};

static int restore_node(struct restorer *s, int dirfd, const char *name, bool *ret_made);

static const struct timespec epoch1[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

static int restore_contents(struct restorer *s, int fd, const char *name)
{
	uint64_t size, left;
	int r = nar_number(&s->w, &size);

	if (r < 0)
		return r;
	for (left = size; left;) {
		size_t n = (size_t)MIN_OF(left, (uint64_t)NAR_BUF);

		r = s->w.in->read(s->w.in, s->buf, n, s->w.e);
		if (r < 0)
			return r;
		r = fd_write_full(fd, s->buf, n);
		if (r < 0)
			return err_num(s->w.e, r, "write '%s'", name);
		left -= n;
	}
	return nar_pad(&s->w, size);
}

static int restore_regular(struct restorer *s, int dirfd, const char *name, bool *ret_made)
{
	auto_fd int fd = -1;
	bool exec;
	int r = nar_file(&s->w, &exec);

	if (r < 0)
		return r;
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    exec ? 0777 : 0666);
	if (fd < 0)
		return err_sys(s->w.e, "create '%s'", name);
	*ret_made = true;
	r = restore_contents(s, fd, name);
	if (r == 0 && s->canonical &&
	    (fchmod(fd, exec ? 0555 : 0444) < 0 || futimens(fd, epoch1) < 0))
		r = err_sys(s->w.e, "set the mode of '%s'", name);
	return r == 0 ? nar_expect(&s->w, ")") : r;
}

static int restore_symlink(struct restorer *s, int dirfd, const char *name, bool *ret_made)
{
	char target[LIMIT_NAR_TARGET + 1];
	int r = nar_target(&s->w, target);

	if (r < 0)
		return r;
	if (symlinkat(target, dirfd, name) < 0)
		return err_sys(s->w.e, "create the link '%s'", name);
	*ret_made = true;
	if (s->canonical && utimensat(dirfd, name, epoch1, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(s->w.e, "set the time of '%s'", name);
	return nar_expect(&s->w, ")");
}

/* One entry after its "entry" word; last is the name before it and becomes this one's. */
static int restore_entry(struct restorer *s, int fd, char last[LIMIT_NAR_NAME + 1])
{
	char name[LIMIT_NAR_NAME + 1];
	bool made = false;
	int r = nar_entry(&s->w, last, name);

	if (r == 0)
		r = restore_node(s, fd, name, &made);
	return r == 0 ? nar_expect(&s->w, ")") : r;
}

static int restore_directory(struct restorer *s, int dirfd, const char *name, bool *ret_made)
{
	char last[LIMIT_NAR_NAME + 1] = "";
	auto_fd int fd = -1;
	bool more;
	int r;

	if (s->depth == LIMIT_NAR_DEPTH)
		return nar_too_deep(&s->w);
	if (mkdirat(dirfd, name, 0777) < 0)
		return err_sys(s->w.e, "create the directory '%s'", name);
	*ret_made = true;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(s->w.e, "open the directory '%s'", name);
	s->depth++;
	while ((r = nar_next(&s->w, &more)) == 0 && more) {
		r = restore_entry(s, fd, last);
		if (r < 0)
			return r;
	}
	s->depth--;
	if (r < 0)
		return r;
	if (s->canonical && (fchmod(fd, 0555) < 0 || futimens(fd, epoch1) < 0))
		return err_sys(s->w.e, "set the mode of '%s'", name);
	return 0;
}

static int restore_node(struct restorer *s, int dirfd, const char *name, bool *ret_made)
{
	enum nar_type type;
	int r = nar_node(&s->w, &type);

	if (r < 0)
		return r;
	return type == NAR_FILE	       ? restore_regular(s, dirfd, name, ret_made)
	       : type == NAR_DIRECTORY ? restore_directory(s, dirfd, name, ret_made)
				       : restore_symlink(s, dirfd, name, ret_made);
}

static int restore(struct nar_source *in, int dirfd, const char *name, bool canonical,
		   struct err *e)
{
	struct restorer s = { .w = { .in = in, .e = e }, .canonical = canonical };
	bool made = false;
	int r;

	s.buf = mem_realloc(NULL, NAR_BUF);
	if (!s.buf)
		return err_num(e, -ENOMEM, "archive");
	r = nar_expect(&s.w, NAR_MAGIC);
	if (r == 0)
		r = restore_node(&s, dirfd, name, &made);
	if (r < 0 && made)
		(void)file_delete_tree(dirfd, name, NULL, NULL); /* the first error counts */
	free(s.buf);
	return r;
}

int nar_restore(struct nar_source *in, int dirfd, const char *name, struct err *e)
{
	return restore(in, dirfd, name, false, e);
}

int nar_restore_canonical(struct nar_source *in, int dirfd, const char *name, struct err *e)
{
	return restore(in, dirfd, name, true, e);
}
