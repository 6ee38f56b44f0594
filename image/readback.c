/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/readback.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "image/ext4.h"
#include "lib/fd.h"

static void add_sum(struct readback *x, uint64_t number, uint32_t sum)
{
	if (x->n == x->cap && !x->err) {
		size_t cap = x->cap ? 2 * x->cap : 4096;
		struct readback_block *v = reallocarray(x->v, cap, sizeof(*v));

		if (!v) {
			x->err = -ENOMEM;
			return;
		}
		x->v = v;
		x->cap = cap;
	}
	if (!x->err)
		x->v[x->n++] = (struct readback_block){ number, sum };
}

void readback_add(struct readback *x, uint64_t number, const void *block)
{
	add_sum(x, number, ext4_checksum(block, READBACK_BLOCK));
}

/* Memory has it still. The end of a disk need not be that of a block. */
int readback_add_range(struct readback *x, int fd, uint64_t offset, uint64_t size)
{
	char block[READBACK_BLOCK];

	for (uint64_t at = offset; at < offset + size; at += sizeof(block)) {
		ssize_t n = pread(fd, block, sizeof(block), (off_t)at);

		if (n <= 0)
			return n < 0 ? -errno : 0;
		add_sum(x, at / sizeof(block), ext4_checksum(block, (size_t)n));
	}
	return x->err;
}

/* A file has no buffers to flush; the advice is enough for both once everything is on disk. */
static int forget(int fd)
{
	if (fsync(fd) < 0)
		return -errno;
	(void)ioctl(fd, BLKFLSBUF, 0);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

static int check_one(int fd, const struct readback_block *b, const char *file, struct err *e)
{
	uint64_t at = b->number * READBACK_BLOCK;
	char block[READBACK_BLOCK];

	ssize_t n = pread(fd, block, sizeof(block), (off_t)at);
	if (n < 0)
		return err_sys(e, "reading %s back, at byte %llu", file, (unsigned long long)at);
	if (n > 0 && ext4_checksum(block, (size_t)n) == b->sum)
		return 0;
	return err_hint(e,
			err_set(e, -EIO, "what was written at byte %llu is not what is read there",
				(unsigned long long)at),
			"the disk is broken, or smaller than it says");
}

int readback_check(const struct readback *x, const char *file, struct err *e)
{
	auto_fd int fd = open(file, O_RDWR | O_CLOEXEC);
	int r = fd < 0 ? -errno : forget(fd);

	if (r < 0)
		return err_num(e, r, "%s", file);
	if (x->err)
		return err_num(e, x->err, "%s", file);
	for (size_t i = 0; r == 0 && i < x->n; i++)
		r = check_one(fd, &x->v[i], file, e);
	return r;
}

void readback_done(struct readback *x)
{
	free(x->v);
}
