/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one file that uses libarchive: a single member out of a Debian package. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "store/limits.h"
#include "store/store.h"

struct nested {
	struct archive *outer; /* borrowed; positioned on data.tar.* */
	char buf[64 << 10];
};

static la_ssize_t nested_read(struct archive *inner, void *arg, const void **ret_buf)
{
	struct nested *n = arg;
	la_ssize_t got = archive_read_data(n->outer, n->buf, sizeof(n->buf));

	if (got < 0)
		archive_set_error(inner, EIO, "%s", archive_error_string(n->outer));
	*ret_buf = n->buf;
	return got;
}

static void archive_cleanup(struct archive **a)
{
	if (*a)
		(void)archive_read_free(*a);
}
#define auto_archive __attribute__((cleanup(archive_cleanup)))

static int fail(struct err *e, struct archive *a, const char *what)
{
	const char *why = archive_error_string(a);

	return err_set(e, -ERR_INVALID, "%s: %s", what, why ? why : "not readable");
}

/* "./usr/bin/x", "/usr/bin/x" and "usr/bin/x" are one member. */
static const char *plain(const char *path)
{
	if (path[0] == '.' && path[1] == '/')
		path++;
	while (*path == '/')
		path++;
	return path;
}

static int copy_out(struct archive *a, int fd, const char *name, struct err *e)
{
	char buf[64 << 10];
	la_ssize_t n;
	int r;

	while ((n = archive_read_data(a, buf, sizeof(buf))) > 0) {
		r = fd_write_full(fd, buf, (size_t)n);
		if (r < 0)
			return err_num(e, r, "write '%s'", name);
	}
	return n < 0 ? fail(e, a, "data of the package") : 0;
}

static int extract(struct archive *a, int dirfd, const char *name, unsigned mode, struct err *e)
{
	auto_fd int fd =
		openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return err_sys(e, "create '%s'", name);
	r = copy_out(a, fd, name, e);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = err_sys(e, "set the mode of '%s'", name);
	if (r < 0)
		(void)unlinkat(dirfd, name, 0); /* the first error counts */
	return r;
}

/* Position outer on the member that holds the files. */
static int find_data(struct archive *outer, struct err *e)
{
	struct archive_entry *entry;
	int r;

	while ((r = archive_read_next_header(outer, &entry)) == ARCHIVE_OK)
		if (!strncmp(archive_entry_pathname(entry), "data.tar", 8))
			return 0;
	if (r == ARCHIVE_EOF)
		return err_set(e, -ERR_INVALID, "the file is no Debian package: no data.tar in it");
	return fail(e, outer, "Debian package");
}

static int find_member(struct archive *inner, const char *member, struct err *e)
{
	struct archive_entry *entry;
	int r;

	while ((r = archive_read_next_header(inner, &entry)) == ARCHIVE_OK) {
		const char *path = archive_entry_pathname(entry);

		if (!path || strcmp(plain(path), plain(member)))
			continue;
		if (archive_entry_filetype(entry) == AE_IFREG && !archive_entry_hardlink(entry))
			return 0;
		return err_set(e, -ERR_INVALID, "'%s' in the package is no regular file", member);
	}
	if (r == ARCHIVE_EOF)
		return err_set(e, -ERR_NOTFOUND, "the package has no '%s'", member);
	return fail(e, inner, "data of the package");
}

int unpack_deb_member(int deb_fd, const char *member, int dirfd, const char *name, unsigned mode,
		      struct err *e)
{
	auto_archive struct archive *outer = archive_read_new();
	auto_archive struct archive *inner = archive_read_new();
	struct nested n = { .outer = outer };
	int r;

	if (!outer || !inner)
		return err_num(e, -ENOMEM, "Debian package");
	(void)archive_read_support_format_ar(outer);
	if (archive_read_open_fd(outer, deb_fd, sizeof(n.buf)) != ARCHIVE_OK)
		return fail(e, outer, "Debian package");
	r = find_data(outer, e);
	if (r < 0)
		return r;
	(void)archive_read_support_filter_all(inner);
	(void)archive_read_support_format_tar(inner);
	if (archive_read_open(inner, &n, NULL, nested_read, NULL) != ARCHIVE_OK)
		return fail(e, inner, "data of the package");
	r = find_member(inner, member, e);
	return r < 0 ? r : extract(inner, dirfd, name, mode, e);
}
