/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/buildlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zlib.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"

#define OUT_SIZE 16384

struct buildlog {
	int fd;	    /* owned */
	bool plain; /* no compression: z is not used */
	z_stream z;
	int err; /* 0 or -errno; sticky */
	unsigned char out[OUT_SIZE];
};

static void names(const char *drv, char dir[16], const char **ret_rest)
{
	const char *base = path_base(drv);
	snprintf(dir, 16, "drvs/%.2s", base);
	*ret_rest = strlen(base) > 2 ? base + 2 : "";
}

static const char *suffix(const struct local *l, bool plain)
{
	return plain ? "" : dialect_facts(l->dialect)->log_suffix;
}

void buildlog_path(const struct local *l, const char *drv, bool plain, struct str *out)
{
	char dir[16];
	const char *rest;
	names(drv, dir, &rest);
	str_addf(out, "%s/%s//%s%s", l->log_dir, dir, rest, suffix(l, plain));
}

static int open_file(struct local *l, const char *drv, const char *end, struct err *e)
{
	char dir[16], file[300];
	const char *rest;
	names(drv, dir, &rest);
	snprintf(file, sizeof(file), "%s/%s%s", dir, rest, end);
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(l->log_fd, file, flags, 0644);
	if (fd < 0 && errno == ENOENT) {
		int r = file_mkdir_p(l->log_fd, dir, 0755, e);
		if (r)
			return r;
		fd = openat(l->log_fd, file, flags, 0644);
	}
	if (fd < 0)
		return err_sys(e, "cannot write the log %s/%s", l->log_phys, file);
	return fd;
}

static void remove_other(struct local *l, const char *drv)
{
	char dir[16], file[300];
	const char *rest;
	names(drv, dir, &rest);
	snprintf(file, sizeof(file), "%s/%s%s", dir, rest, suffix(l, false));
	if (*suffix(l, false))
		(void)unlinkat(l->log_fd, file, 0); /* mostly there is none */
}

int buildlog_open(struct local *l, const char *drv, bool plain, struct buildlog **ret,
		  struct err *e)
{
	const char *end = suffix(l, plain);
	auto_fd int fd = open_file(l, drv, end, e);
	if (fd < 0)
		return fd;
	struct buildlog *b = calloc(1, sizeof(*b));
	if (b)
		b->plain = !*end;
	/* 15 + 16: the largest window, gzip format; level 6 costs less than builders print */
	if (!b || (!b->plain &&
		   deflateInit2(&b->z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)) {
		free(b);
		return err_set(e, -ENOMEM, "out of memory");
	}
	if (plain) /* whoever looks for the log must not find that of an earlier build */
		remove_other(l, drv);
	b->fd = fd_take(&fd);
	*ret = b;
	return 0;
}

static void pump(struct buildlog *b, int flush)
{
	int r;
	do {
		b->z.next_out = b->out;
		b->z.avail_out = OUT_SIZE;
		r = deflate(&b->z, flush);
		size_t n = OUT_SIZE - b->z.avail_out;
		if (n && !b->err)
			b->err = fd_write_full(b->fd, b->out, n);
	} while (b->z.avail_out == 0 && r == Z_OK);
}

void buildlog_add(struct buildlog *b, const void *p, size_t n)
{
	if (!b)
		return;
	if (b->plain) {
		b->err = b->err ? b->err : fd_write_full(b->fd, p, n);
		return;
	}
	b->z.next_in = (unsigned char *)(uintptr_t)p;
	b->z.avail_in = (unsigned)n;
	pump(b, Z_NO_FLUSH);
}

int buildlog_close(struct buildlog *b, struct err *e)
{
	if (!b)
		return 0;
	if (!b->plain) {
		b->z.avail_in = 0;
		pump(b, Z_FINISH);
		deflateEnd(&b->z);
	}
	int err = b->err;
	fd_close(&b->fd);
	free(b);
	return err ? err_num(e, err, "cannot write a build log") : 0;
}

int buildlog_read(const char *file, struct str *out, size_t limit, struct err *e)
{
	gzFile f = gzopen(file, "rbe"); /* passes plain files through */
	if (!f)
		return err_sys(e, "cannot open %s", file);
	int n = 0;
	char *p;
	while ((p = str_room(out, OUT_SIZE)) && (n = gzread(f, p, OUT_SIZE)) > 0) {
		str_grown(out, (size_t)n);
		if (out->len > limit)
			break;
	}
	gzclose(f);
	if (str_err(out))
		return err_set(e, -ENOMEM, "out of memory");
	if (n < 0)
		return err_set(e, -ERR_INVALID, "%s is damaged", file);
	if (out->len > limit)
		return err_set(e, -ERR_LIMIT, "%s is longer than %zu bytes", file, limit);
	return 0;
}

/* The derivation whose log is meant: itself, or the one that made an output. */
static int log_drv(struct store_conn *c, struct arena *a, const char *item, const char **ret,
		   struct err *e)
{
	auto_vec struct vec derivers = VEC_INIT;
	struct store_info *info = NULL;
	*ret = item;
	if (slice_ends(slice_of(item), ".drv"))
		return 0;
	if (store_info(c, a, item, &info, NULL) == 0 && *info->deriver) {
		*ret = info->deriver;
		return 0;
	}
	int r = store_derivers(c, a, item, &derivers, e);
	if (!r && !derivers.n)
		r = err_set(e, -ERR_NOTFOUND, "it is not known which derivation made '%s'", item);
	if (!r)
		*ret = derivers.v[0];
	return r;
}

int buildlog_find(struct store_conn *c, struct arena *a, const char *log_dir, const char *item,
		  const char **ret, struct err *e)
{
	static const char *const suffixes[] = { ".gz", "" };
	const char *drv;
	int r = log_drv(c, a, item, &drv, e);
	if (r)
		return r;
	const char *base = path_base(drv);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char *file =
			arena_fmt(a, "%s/drvs/%.2s/%s%s", log_dir, base, base + 2, suffixes[i]);
		if (!file)
			return err_set(e, -ENOMEM, "out of memory");
		if (access(file, F_OK) == 0) {
			*ret = file;
			return 0;
		}
	}
	return err_set(e, -ERR_NOTFOUND, "there is no log of '%s'", drv);
}
