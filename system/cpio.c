/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A tree as an archive that the kernel unpacks as its initramfs. */
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/cpio.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "system/tree.h"

#define LIMIT_COPY (64u << 20)

static int add(struct str *s, const struct tree_item *t, unsigned ino, struct err *e)
{
	static const unsigned types[TREE_KIND_MAX] = {
		[TREE_DIR] = S_IFDIR,  [TREE_FILE] = S_IFREG, [TREE_LINK] = S_IFLNK,
		[TREE_COPY] = S_IFREG, [TREE_NODE] = S_IFCHR,
	};
	struct cpio_head h = { ino, types[t->kind] | t->mode, 1, 0, t->major, t->minor };
	auto_str struct str file = STR_INIT;
	struct slice data = t->data;

	if (t->kind == TREE_LINK) {
		data = slice_of(t->target);
		h.mode = S_IFLNK | 0777;
	}
	if (t->kind == TREE_DIR)
		h.nlink = 2;
	if (t->kind == TREE_COPY) {
		int rc = file_read(AT_FDCWD, t->target, &file, LIMIT_COPY, e);

		if (rc < 0)
			return rc;
		data = str_slice(&file);
	}
	h.size = (unsigned)data.n;
	cpio_member(s, &h, t->path);
	str_adds(s, data);
	cpio_pad(s, CPIO_ALIGN);
	return 0;
}

int tree_cpio(const struct tree *t, int fd, struct err *e)
{
	struct cpio_head end = { 0, 0, 1, 0, 0, 0 };
	auto_str struct str s = STR_INIT;
	int rc;

	for (size_t i = 0; i < t->items.n; i++) {
		rc = add(&s, t->items.v[i], (unsigned)i + 1, e);
		if (rc < 0)
			return rc;
	}
	cpio_member(&s, &end, CPIO_TRAILER);
	cpio_pad(&s, 512);
	if (str_err(&s))
		return err_num(e, str_err(&s), "archive");
	rc = fd_write_full(fd, s.buf, s.len);
	return rc < 0 ? err_num(e, rc, "cannot write the archive") : 0;
}
