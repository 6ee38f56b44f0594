/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/tarball.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/store.h"

int tarball_entry(struct tar *t, const struct man_entry *n, struct err *e)
{
	static const mode_t types[MAN_MAX] = { [MAN_DIR] = S_IFDIR,
					       [MAN_FILE] = S_IFREG,
					       [MAN_LINK] = S_IFLNK,
					       [MAN_CHAR] = S_IFCHR,
					       [MAN_BLOCK] = S_IFBLK };
	struct tar_entry x = { .path = n->path[0] ? n->path : ".",
			       .mode = types[n->type] | n->mode,
			       .uid = n->uid,
			       .gid = n->gid,
			       .mtime = n->mtime,
			       .size = n->type == MAN_FILE ? n->size : 0,
			       .target = n->target,
			       .major = n->major,
			       .minor = n->minor };

	return tar_entry(t, &x, e);
}

struct tarball {
	struct img_sink sink;
	struct tar *tar;
	unsigned flags;
};

static int sink_entry(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	struct tarball *t = CONTAINER_OF(s, struct tarball, sink);

	if (!*n->path && (t->flags & TARBALL_NO_TOP))
		return 0;
	return tarball_entry(t->tar, n, e);
}

static int sink_data(struct img_sink *s, const void *p, size_t n, struct err *e)
{
	return tar_data(CONTAINER_OF(s, struct tarball, sink)->tar, p, n, e);
}

static int sink_end(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	return 0;
}

int tarball_write(int fd, unsigned flags, struct contents *c, struct err *e)
{
	struct tarball t = { .sink = { sink_entry, sink_data, sink_end }, .flags = flags };
	struct fill_opts fill = contents_fill(c);
	struct nar_sink *out = nar_sink_fd(c->arena, fd);

	int r = out ? tar_open(out, flags & TARBALL_GZIP, &t.tar, e)
		    : err_num(e, -ENOMEM, "tar file");
	if (r < 0)
		return r;
	r = fill_run(&c->manifest, &t.sink, &fill, e);
	if (r == 0)
		return tar_close(t.tar, e);
	tar_free(t.tar);
	return r;
}

int tarball_make(const char *file, struct contents *c, uint64_t *ret_size, struct err *e)
{
	struct stat st = { 0 };
	auto_fd int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return err_sys(e, "%s", file);
	int r = contents_make(c, e);
	if (r == 0)
		r = tarball_write(fd, TARBALL_GZIP, c, e);
	manifest_done(&c->manifest);
	if (r == 0 && fstat(fd, &st) < 0)
		r = err_sys(e, "%s", file);
	if (r < 0)
		(void)unlink(file); /* half a tar file is of no use */
	else
		*ret_size = (uint64_t)st.st_size;
	return r;
}
