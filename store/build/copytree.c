/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/copytree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/str.h"
#include "store/limits.h"
#include "store/format/nar.h"

#define COPY_CHUNK ((size_t)64 << 20)
#define COPY_BUF   65536

static int copy_entry(int fromfd, const char *from, int tofd, const char *to, unsigned depth,
		      struct err *e);

static int copy_bytes(int in, int out)
{
	ssize_t n;
	bool any = false;
	while ((n = copy_file_range(in, NULL, out, NULL, COPY_CHUNK, 0)) > 0)
		any = true;
	if (n == 0 || any)
		return n < 0 ? -errno : 0;
	char buf[COPY_BUF]; /* the file systems cannot do it */
	while ((n = fd_read_some(in, buf, sizeof(buf))) > 0) {
		int r = fd_write_full(out, buf, (size_t)n);
		if (r)
			return r;
	}
	return (int)n;
}

static int copy_file(int fromfd, const char *from, int tofd, const char *to, struct err *e)
{
	/* Non-blocking: what was a file a moment ago could be a pipe now. */
	auto_fd int in = openat(fromfd, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (in < 0 || fstat(in, &st) < 0)
		return err_sys(e, "cannot open %s", from);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ERR_INVALID, "%s changed while it was copied", from);
	mode_t mode = st.st_mode & 0100 ? 0755 : 0644;
	auto_fd int out = openat(tofd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (out < 0)
		return err_sys(e, "cannot make %s", to);
	int r = copy_bytes(in, out);
	return r ? err_num(e, r, "cannot copy %s", from) : 0;
}

static int copy_dir(int fromfd, const char *from, int tofd, const char *to, unsigned depth,
		    struct err *e)
{
	if (depth == LIMIT_NAR_DEPTH)
		return err_set(e, -ERR_LIMIT, "directories are nested deeper than %d",
			       LIMIT_NAR_DEPTH);
	auto_fd int in = openat(fromfd, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	if (in < 0)
		return err_sys(e, "cannot open %s", from);
	int r = nar_list_dir(&a, in, &names);
	if (r)
		return err_num(e, r, "cannot list %s", from);
	auto_fd int out = -1;
	if (mkdirat(tofd, to, 0755) < 0 ||
	    (out = openat(tofd, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return err_sys(e, "cannot make %s", to);
	for (size_t i = 0; !r && i < names.n; i++)
		r = copy_entry(in, names.v[i], out, names.v[i], depth + 1, e);
	return r;
}

static int copy_entry(int fromfd, const char *from, int tofd, const char *to, unsigned depth,
		      struct err *e)
{
	struct stat st;
	if (fstatat(fromfd, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "cannot stat %s", from);
	if (S_ISREG(st.st_mode))
		return copy_file(fromfd, from, tofd, to, e);
	if (S_ISDIR(st.st_mode))
		return copy_dir(fromfd, from, tofd, to, depth, e);
	if (!S_ISLNK(st.st_mode))
		return err_set(e, -ERR_INVALID, "%s is neither file, directory nor link", from);
	auto_str struct str target = STR_INIT;
	int r = file_readlink(fromfd, from, &target, e);
	if (!r && symlinkat(target.buf, tofd, to) < 0)
		r = err_sys(e, "cannot make the link %s", to);
	return r;
}

int copytree(int fromfd, const char *from, int tofd, const char *to, struct err *e)
{
	return copy_entry(fromfd, from, tofd, to, 0, e);
}
