/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/initramfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootloader/bootloader.h"
#include "image/params.h"
#include "image/squashfs.h"
#include "lib/cpio.h"
#include "lib/fd.h"

#define COPY_BUFFER (1024 * 1024)
#define ARCHIVE_PAD 512 /* zeros between archives */
#define ROOT_WORDS  "root=initramfs cairn.image=/" INITRAMFS_ROOT

/* The initramfs being written. */
struct initramfs {
	const struct initramfs_opts *opts;
	struct contents *c;
	struct boot_entry entry;
	int dir; /* of the result */
	int fd;	 /* its initramfs */
	uint64_t size;
};

/* Append what from has to to. */
static int copy(const char *from, int to, uint64_t *ret_size, struct err *e)
{
	auto_free char *buf = malloc(COPY_BUFFER);
	auto_fd int in = open(from, O_RDONLY | O_CLOEXEC);
	uint64_t size = 0;
	ssize_t n;
	int r;

	if (!buf)
		return err_num(e, -ENOMEM, "%s", from);
	if (in < 0)
		return err_sys(e, "%s", from);
	while ((n = fd_read_some(in, buf, COPY_BUFFER)) > 0) {
		if ((r = fd_write_full(to, buf, (size_t)n)) < 0)
			return err_num(e, r, "writing the image");
		size += (uint64_t)n;
	}
	*ret_size = size;
	return n < 0 ? err_num(e, (int)n, "%s", from) : 0;
}

/* Append text, which follows size bytes, behind zeros up to a multiple of align. */
static int append(struct initramfs *x, uint64_t align, struct slice text, struct err *e)
{
	static const char zeros[ARCHIVE_PAD];
	size_t pad = (size_t)((align - x->size % align) % align);
	int r = fd_write_full(x->fd, zeros, pad);

	if (r == 0)
		r = fd_write_full(x->fd, text.p, text.n);
	x->size += pad + text.n;
	return r < 0 ? err_num(e, r, "writing the image") : 0;
}

/* The generation's initramfs; behind it, as an archive of its own, the root. */
static int write_archives(struct initramfs *x, const char *root, struct err *e)
{
	const char *base = arena_fmt(x->c->arena, "%s%s", x->c->store_prefix, x->entry.initrd);
	struct cpio_head head = { .ino = 1, .mode = S_IFREG | 0444, .nlink = 1 },
			 end = { .nlink = 1 };
	auto_str struct str first = STR_INIT;
	auto_str struct str last = STR_INIT;
	struct stat st;
	uint64_t n = 0;

	if (!base)
		return err_num(e, -ENOMEM, "initramfs");
	if (stat(root, &st) < 0)
		return err_sys(e, "%s", root);
	if ((uint64_t)st.st_size > LIMIT_CPIO_BODY)
		return err_set(e, -ERR_LIMIT,
			       "the system is larger than 4 GiB, an initramfs cannot be");
	head.size = (uint32_t)st.st_size;
	cpio_member(&first, &head, INITRAMFS_ROOT);
	cpio_member(&last, &end, CPIO_TRAILER);
	cpio_pad(&last, CPIO_ALIGN);
	if (str_err(&first) || str_err(&last))
		return err_num(e, -ENOMEM, "initramfs");
	int r = copy(base, x->fd, &x->size, e);
	if (r == 0)
		r = append(x, ARCHIVE_PAD, str_slice(&first), e);
	if (r == 0)
		r = copy(root, x->fd, &n, e);
	x->size += n;
	return r == 0 ? append(x, CPIO_ALIGN, str_slice(&last), e) : r;
}

static int new_file(const struct initramfs *x, const char *name, int *ret, struct err *e)
{
	*ret = openat(x->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return *ret < 0 ? err_sys(e, "%s", name) : 0;
}

static int write_initrd(struct initramfs *x, struct err *e)
{
	const char *root = arena_fmt(x->c->arena, "%s/" INITRAMFS_ROOT, x->c->work);
	struct squashfs_opts fs = { .file = root,
				    .mksquashfs = x->opts->mksquashfs,
				    .processors = x->opts->processors };
	auto_fd int fd = -1;

	if (!root)
		return err_num(e, -ENOMEM, "initramfs");
	if (unlink(root) < 0 && errno != ENOENT) /* of an earlier run that was cut short */
		return err_sys(e, "%s", root);
	int r = contents_make(x->c, e);
	if (r == 0)
		r = squashfs_make(&fs, x->c, e);
	manifest_done(&x->c->manifest);
	if (r == 0)
		r = new_file(x, INITRAMFS_INITRD, &fd, e);
	x->fd = fd;
	return r == 0 ? write_archives(x, root, e) : r;
}

static int write_kernel(struct initramfs *x, struct err *e)
{
	const char *from = arena_fmt(x->c->arena, "%s%s", x->c->store_prefix, x->entry.kernel);
	auto_fd int fd = -1;
	uint64_t size;

	if (!from)
		return err_num(e, -ENOMEM, "kernel");
	int r = new_file(x, INITRAMFS_KERNEL, &fd, e);
	return r == 0 ? copy(from, fd, &size, e) : r;
}

static int write_cmdline(struct initramfs *x, struct err *e)
{
	const char *words, *text;
	auto_fd int fd = -1;

	int r = params_with_root(x->c->arena, x->entry.parameters, ROOT_WORDS, &words, e);
	if (r < 0 || (r = new_file(x, INITRAMFS_CMDLINE, &fd, e)) < 0)
		return r;
	text = arena_fmt(x->c->arena, "%s\n", words);
	if (!text)
		return err_num(e, -ENOMEM, "kernel parameters");
	r = fd_write_full(fd, text, strlen(text));
	return r < 0 ? err_num(e, r, INITRAMFS_CMDLINE) : 0;
}

int initramfs_make(const struct initramfs_opts *o, struct contents *c, uint64_t *ret_size,
		   struct err *e)
{
	struct initramfs x = { .opts = o, .c = c, .dir = -1, .fd = -1 };

	int r = boot_entry_load(c->arena, c->store_prefix, c->system, &x.entry, e);
	if (r < 0)
		return r;
	if (!*x.entry.initrd)
		return err_set(e, -ERR_INVALID, "%s has no initramfs to begin with", c->system);
	if (mkdir(o->dir, 0755) < 0)
		return err_sys(e, "%s", o->dir);
	auto_fd int dir = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	x.dir = dir;
	r = dir < 0 ? err_sys(e, "%s", o->dir) : write_initrd(&x, e);
	if (r == 0)
		r = write_kernel(&x, e);
	if (r == 0)
		r = write_cmdline(&x, e);
	if (r < 0)
		(void)file_delete_tree(AT_FDCWD, o->dir, NULL, NULL); /* half of it is of no use */
	else
		*ret_size = x.size;
	return r;
}
