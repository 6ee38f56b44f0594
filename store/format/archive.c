/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one file that uses libarchive: a single member out of a Debian package; tar files made;
 * compressed streams. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/limits.h"
#include "store/store.h"
#include "store/format/zip.h"

/* ---- A member of a Debian package ------------------------------------------------------------ */

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

static int too_large(const char *name, struct err *e)
{
	return err_set(e, -ERR_LIMIT, "'%s' in the package is larger than %llu bytes", name,
		       (unsigned long long)LIMIT_DEB_MEMBER);
}

static int copy_out(struct archive *a, int fd, const char *name, struct err *e)
{
	char buf[64 << 10];
	uint64_t left = LIMIT_DEB_MEMBER;
	la_ssize_t n;
	int r;

	while ((n = archive_read_data(a, buf, sizeof(buf))) > 0) {
		if ((uint64_t)n > left)
			return too_large(name, e);
		left -= (uint64_t)n;
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

	while ((r = archive_read_next_header(outer, &entry)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(entry);

		if (name && !strncmp(name, "data.tar", 8))
			return 0;
	}
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
			return (uint64_t)archive_entry_size(entry) > LIMIT_DEB_MEMBER
				       ? too_large(member, e)
				       : 0;
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

/* ---- Tar files ------------------------------------------------------------------------------- */

#define TAR_BLOCK 65536

struct tar {
	struct archive *a;	     /* owned */
	struct archive_entry *entry; /* owned; used again for each */
	struct nar_sink *out;	     /* borrowed; NULL: given up, bytes go nowhere */
	struct err err;		     /* first failure of out */
};

static la_ssize_t tar_write(struct archive *a, void *arg, const void *p, size_t n)
{
	struct tar *t = arg;

	if (t->out && t->out->write(t->out, p, n, &t->err) < 0) {
		archive_set_error(a, EIO, "%s", t->err.msg);
		t->out = NULL;
		return -1;
	}
	return (la_ssize_t)n;
}

static int tar_fail(struct tar *t, struct err *e)
{
	return t->err.code ? err_set(e, t->err.code, "%s", t->err.msg)
			   : fail(e, t->a, "writing a tar file");
}

static bool tar_start(struct tar *t, bool gzip)
{
	/* ustar, and extended headers for an entry that needs one */
	if (archive_write_set_format_pax_restricted(t->a) != ARCHIVE_OK)
		return false;
	if (gzip && (archive_write_add_filter_gzip(t->a) != ARCHIVE_OK ||
		     archive_write_set_options(t->a, "gzip:!timestamp") != ARCHIVE_OK))
		return false;
	return archive_write_set_bytes_per_block(t->a, TAR_BLOCK) == ARCHIVE_OK &&
	       archive_write_set_bytes_in_last_block(t->a, 1) == ARCHIVE_OK &&
	       archive_write_open(t->a, t, NULL, tar_write, NULL) == ARCHIVE_OK;
}

int tar_open(struct nar_sink *out, bool gzip, struct tar **ret, struct err *e)
{
	struct tar *t = calloc(1, sizeof(*t));
	int r = 0;

	if (!t)
		return err_num(e, -ENOMEM, "writing a tar file");
	t->out = out;
	t->a = archive_write_new();
	t->entry = archive_entry_new();
	if (!t->a || !t->entry)
		r = err_num(e, -ENOMEM, "writing a tar file");
	else if (!tar_start(t, gzip))
		r = tar_fail(t, e);
	if (r < 0)
		tar_free(t);
	else
		*ret = t;
	return r;
}

static bool is_ascii(const char *s)
{
	while (s && *s)
		if ((unsigned char)*s++ > 127)
			return false;
	return true;
}

int tar_entry(struct tar *t, const struct tar_entry *n, struct err *e)
{
	struct archive_entry *x = archive_entry_clear(t->entry);

	archive_entry_set_pathname(x, n->path);
	archive_entry_set_mode(x, n->mode);
	archive_entry_set_uid(x, n->uid);
	archive_entry_set_gid(x, n->gid);
	archive_entry_set_mtime(x, n->mtime, 0);
	archive_entry_set_size(x, (la_int64_t)n->size);
	if (S_ISLNK(n->mode))
		archive_entry_set_symlink(x, n->target);
	if (S_ISCHR(n->mode) || S_ISBLK(n->mode)) {
		archive_entry_set_rdevmajor(x, n->major);
		archive_entry_set_rdevminor(x, n->minor);
	}
	int r = archive_write_header(t->a, x);
	/* Names that are not ASCII go in byte for byte, with a complaint: the locale is C. */
	if (r == ARCHIVE_OK || (r == ARCHIVE_WARN && !(is_ascii(n->path) && is_ascii(n->target))))
		return 0;
	return tar_fail(t, e);
}

int tar_data(struct tar *t, const void *p, size_t n, struct err *e)
{
	return archive_write_data(t->a, p, n) == (la_ssize_t)n ? 0 : tar_fail(t, e);
}

int tar_close(struct tar *t, struct err *e)
{
	int r = archive_write_close(t->a) == ARCHIVE_OK ? 0 : tar_fail(t, e);

	tar_free(t);
	return r;
}

void tar_free(struct tar *t)
{
	if (!t)
		return;
	t->out = NULL;
	archive_entry_free(t->entry);
	(void)archive_write_free(t->a); /* both allow NULL */
	free(t);
}

/* ---- Compressed streams ---------------------------------------------------------------------- */

static const struct {
	const char *name;
	int filter; /* of libarchive */
} zips[ZIP_MAX] = {
	[ZIP_NONE] = { "none", ARCHIVE_FILTER_NONE },
	[ZIP_GZIP] = { "gzip", ARCHIVE_FILTER_GZIP },
	[ZIP_LZIP] = { "lzip", ARCHIVE_FILTER_LZIP },
	[ZIP_ZSTD] = { "zstd", ARCHIVE_FILTER_ZSTD },
	[ZIP_XZ] = { "xz", ARCHIVE_FILTER_XZ },
	[ZIP_BZIP2] = { "bzip2", ARCHIVE_FILTER_BZIP2 },
};

const char *zip_name(enum zip kind)
{
	return zips[kind].name;
}

int zip_parse(struct slice name, enum zip *ret)
{
	for (size_t i = 0; i < ZIP_MAX; i++)
		if (slice_is(name, zips[i].name)) {
			*ret = (enum zip)i;
			return 0;
		}
	return -ERR_UNSUPPORTED;
}

struct zipper {
	struct nar_sink sink;
	struct nar_sink *out; /* borrowed; NULL: given up */
	struct archive *a;    /* owned; NULL: no compression */
	struct err err;	      /* first failure of out */
};

static la_ssize_t zip_write_out(struct archive *a, void *arg, const void *p, size_t n)
{
	struct zipper *z = arg;

	if (z->out && z->out->write(z->out, p, n, &z->err) < 0) {
		archive_set_error(a, EIO, "%s", z->err.msg);
		z->out = NULL;
		return -1;
	}
	return (la_ssize_t)n;
}

static int zip_fail(struct zipper *z, struct err *e)
{
	return z->err.code ? err_set(e, z->err.code, "%s", z->err.msg)
			   : fail(e, z->a, "compressing");
}

static int zip_write(struct nar_sink *s, const void *p, size_t n, struct err *e)
{
	struct zipper *z = CONTAINER_OF(s, struct zipper, sink);

	if (!z->a)
		return z->out->write(z->out, p, n, e);
	return archive_write_data(z->a, p, n) == (la_ssize_t)n ? 0 : zip_fail(z, e);
}

/* A raw archive is nothing but the contents of its one entry. */
static bool zip_start(struct zipper *z, enum zip kind, unsigned level)
{
	struct archive_entry *entry = archive_entry_new();
	char text[16];
	bool good = entry && archive_write_set_format_raw(z->a) == ARCHIVE_OK &&
		    archive_write_add_filter(z->a, zips[kind].filter) == ARCHIVE_OK;

	snprintf(text, sizeof(text), "%u", level);
	if (good && level)
		good = archive_write_set_filter_option(z->a, NULL, "compression-level", text) ==
		       ARCHIVE_OK;
	if (good && kind == ZIP_GZIP)
		good = archive_write_set_options(z->a, "gzip:!timestamp") == ARCHIVE_OK;
	if (good) {
		archive_entry_set_filetype(entry, AE_IFREG);
		good = archive_write_set_bytes_in_last_block(z->a, 1) == ARCHIVE_OK &&
		       archive_write_open(z->a, z, NULL, zip_write_out, NULL) == ARCHIVE_OK &&
		       archive_write_header(z->a, entry) == ARCHIVE_OK;
	}
	archive_entry_free(entry);
	return good;
}

int zip_open(struct nar_sink *out, enum zip kind, unsigned level, struct zipper **ret,
	     struct err *e)
{
	struct zipper *z = calloc(1, sizeof(*z));
	int r = 0;

	if (!z)
		return err_num(e, -ENOMEM, "compressing");
	z->sink.write = zip_write;
	z->out = out;
	if (kind != ZIP_NONE) {
		z->a = archive_write_new();
		if (!z->a)
			r = err_num(e, -ENOMEM, "compressing");
		else if (!zip_start(z, kind, level))
			r = zip_fail(z, e);
	}
	if (r < 0)
		zip_free(z);
	else
		*ret = z;
	return r;
}

struct nar_sink *zip_sink(struct zipper *z)
{
	return &z->sink;
}

int zip_close(struct zipper *z, struct err *e)
{
	int r = !z->a || archive_write_close(z->a) == ARCHIVE_OK ? 0 : zip_fail(z, e);

	zip_free(z);
	return r;
}

void zip_free(struct zipper *z)
{
	if (!z)
		return;
	z->out = NULL;
	(void)archive_write_free(z->a); /* NULL allowed */
	free(z);
}

struct unzipper {
	struct zip_input *in; /* borrowed */
	struct archive *a;    /* owned; NULL: no compression */
	struct err err;	      /* of in */
	char buf[64 << 10];
};

static la_ssize_t unzip_more(struct archive *a, void *arg, const void **ret)
{
	struct unzipper *u = arg;
	ssize_t n = u->in->read(u->in, u->buf, sizeof(u->buf), &u->err);

	if (n < 0)
		archive_set_error(a, EIO, "%s", u->err.msg);
	*ret = u->buf;
	return n < 0 ? -1 : n;
}

static int unzip_fail(struct unzipper *u, struct err *e)
{
	return u->err.code ? err_set(e, u->err.code, "%s", u->err.msg)
			   : fail(e, u->a, "decompressing");
}

static bool unzip_start(struct unzipper *u, enum zip kind)
{
	struct archive_entry *entry;

	return archive_read_support_format_raw(u->a) == ARCHIVE_OK &&
	       archive_read_append_filter(u->a, zips[kind].filter) == ARCHIVE_OK &&
	       archive_read_open(u->a, u, NULL, unzip_more, NULL) == ARCHIVE_OK &&
	       archive_read_next_header(u->a, &entry) == ARCHIVE_OK;
}

int unzip_open(struct zip_input *in, enum zip kind, struct unzipper **ret, struct err *e)
{
	struct unzipper *u = calloc(1, sizeof(*u));
	int r = 0;

	if (!u)
		return err_num(e, -ENOMEM, "decompressing");
	u->in = in;
	if (kind != ZIP_NONE) {
		u->a = archive_read_new();
		if (!u->a)
			r = err_num(e, -ENOMEM, "decompressing");
		else if (!unzip_start(u, kind))
			r = unzip_fail(u, e);
	}
	if (r < 0)
		unzip_free(u);
	else
		*ret = u;
	return r;
}

ssize_t unzip_read(struct unzipper *u, void *p, size_t n, struct err *e)
{
	la_ssize_t got;

	if (!u->a)
		return u->in->read(u->in, p, n, e);
	got = archive_read_data(u->a, p, n);
	return got < 0 ? unzip_fail(u, e) : got;
}

void unzip_free(struct unzipper *u)
{
	if (!u)
		return;
	(void)archive_read_free(u->a); /* NULL allowed */
	free(u);
}
