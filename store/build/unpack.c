/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/unpack.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/fd.h"
#include "store/format/zip.h"

struct file_input {
	struct zip_input in;
	int fd;
};

static ssize_t read_file(struct zip_input *in, void *p, size_t n, struct err *e)
{
	struct file_input *f = (struct file_input *)in; /* its first member */
	ssize_t got = fd_read_some(f->fd, p, n);
	return got < 0 ? err_num(e, (int)got, "cannot read an archive") : got;
}

struct unzip_source {
	struct nar_source source;
	struct unzipper *u;
};

static int read_exactly(struct nar_source *source, void *p, size_t n, struct err *e)
{
	struct unzip_source *s = (struct unzip_source *)source; /* its first member */
	for (size_t done = 0; done < n;) {
		ssize_t got = unzip_read(s->u, (char *)p + done, n - done, e);
		if (got < 0)
			return (int)got;
		if (got == 0)
			return err_set(e, -ERR_SYNTAX, "an archive is cut short");
		done += (size_t)got;
	}
	return 0;
}

int unpack_nar(int dirfd, const char *archive, bool xz, const char *name, struct err *e)
{
	auto_fd int fd = openat(dirfd, archive, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "cannot open a downloaded archive");
	struct file_input in = { .in = { read_file }, .fd = fd };
	struct unzip_source s = { .source = { read_exactly } };
	int r = unzip_open(&in.in, xz ? ZIP_XZ : ZIP_NONE, &s.u, e);
	if (!r)
		r = nar_restore(&s.source, dirfd, name, e);
	unzip_free(s.u);
	if (!r && unlinkat(dirfd, archive, 0) < 0)
		r = err_sys(e, "cannot remove a downloaded archive");
	return r;
}
