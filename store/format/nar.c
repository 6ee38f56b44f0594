/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Archives of the store: one file, directory or link as bytes, without any metadata but the x bit.
 *
 * Everything goes through directory descriptors, so that depth does not meet PATH_MAX and a tree
 * changed under our feet cannot lead us elsewhere. The reader takes the exact grammar: what it
 * accepts is byte for byte what the writer would make of the result.
 */
#include "store/format/nar-words.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/size.h"
#include "lib/wire.h"
#include "store/limits.h"

/* ---- Writing ----------------------------------------------------------------------------------
 */

struct dumper {
	struct nar_sink *out;
	nar_filter_fn *filter;
	void *arg;
	struct err *e;
	struct str path; /* of the node, relative to the top; only for filter and messages */
	unsigned depth;
	size_t used;
	char *buf; /* owned, NAR_BUF */
};

static int dump_node(struct dumper *d, int dirfd, const char *name);

static const char *shown(const struct dumper *d)
{
	return d->path.len ? d->path.buf : "the top of the tree";
}

static int flush(struct dumper *d)
{
	size_t n = d->used;

	d->used = 0;
	return n ? d->out->write(d->out, d->buf, n, d->e) : 0;
}

static int put(struct dumper *d, const void *p, size_t n)
{
	const char *from = p;
	size_t part;
	int r = 0;

	while (n && r == 0) {
		part = MIN_OF(n, NAR_BUF - d->used);
		memcpy(d->buf + d->used, from, part);
		d->used += part;
		from += part;
		n -= part;
		if (d->used == NAR_BUF)
			r = flush(d);
	}
	return r;
}

static int put_u64(struct dumper *d, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++, v >>= 8)
		b[i] = (uint8_t)v;
	return put(d, b, sizeof(b));
}

static int put_pad(struct dumper *d, uint64_t n)
{
	static const char zeros[8];

	return put(d, zeros, wire_pad(n));
}

static int put_str(struct dumper *d, const char *p, size_t n)
{
	int r = put_u64(d, n);

	if (r == 0)
		r = put(d, p, n);
	return r == 0 ? put_pad(d, n) : r;
}

/* Several words; the last is NULL. */
static int put_words(struct dumper *d, const char *const *words)
{
	int r = 0;

	for (; *words && r == 0; words++)
		r = put_str(d, *words, strlen(*words));
	return r;
}
#define put_tokens(d, ...) put_words(d, (const char *const[]){ __VA_ARGS__, NULL })

/* Exactly size bytes of fd, read into the buffer behind what waits there. */
static int dump_contents(struct dumper *d, int fd, uint64_t size)
{
	uint64_t left = size;
	ssize_t n;
	int r = put_u64(d, size);

	if (size > NAR_BUF)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while (r == 0 && left) {
		n = fd_read_some(fd, d->buf + d->used,
				 (size_t)MIN_OF(left, (uint64_t)(NAR_BUF - d->used)));
		if (n < 0)
			return err_num(d->e, (int)n, "read %s", shown(d));
		if (n == 0)
			return err_set(d->e, -ERR_INVALID, "%s became shorter while it was read",
				       shown(d));
		left -= (uint64_t)n;
		d->used += (size_t)n;
		if (d->used == NAR_BUF)
			r = flush(d);
	}
	return r == 0 ? put_pad(d, size) : r;
}

static int dump_regular(struct dumper *d, int dirfd, const char *name)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(d->e, "open %s", shown(d));
	if (!S_ISREG(st.st_mode))
		return err_set(d->e, -ERR_INVALID, "%s changed while it was read", shown(d));
	r = put_tokens(d, "(", "type", "regular");
	if (r == 0 && (st.st_mode & 0100))
		r = put_tokens(d, "executable", "");
	if (r == 0)
		r = put_tokens(d, "contents");
	if (r == 0)
		r = dump_contents(d, fd, (uint64_t)st.st_size);
	return r == 0 ? put_tokens(d, ")") : r;
}

static int dump_symlink(struct dumper *d, int dirfd, const char *name)
{
	char target[LIMIT_NAR_TARGET + 1];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));
	int r;

	if (n < 0)
		return err_sys(d->e, "read the link %s", shown(d));
	if (n > LIMIT_NAR_TARGET)
		return err_set(d->e, -ERR_LIMIT, "the target of the link %s is too long", shown(d));
	r = put_tokens(d, "(", "type", "symlink", "target");
	if (r == 0)
		r = put_str(d, target, (size_t)n);
	return r == 0 ? put_tokens(d, ")") : r;
}

int nar_list_dir(struct arena *a, int fd, struct vec *ret)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), r;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *ent;

	if (!dir) {
		r = -errno;
		fd_close(&copy);
		return r;
	}
	rewinddir(dir);
	while ((r = file_next(dir, &ent)) > 0)
		if (strcmp(ent->d_name, ".") && strcmp(ent->d_name, ".."))
			vec_add(ret, arena_str(a, ent->d_name));
	closedir(dir);
	if (r == 0)
		r = arena_err(a) < 0 ? arena_err(a) : ret->err;
	if (r == 0)
		vec_sort_str(ret);
	return r;
}

static int dump_entry(struct dumper *d, int fd, const char *name)
{
	size_t len = d->path.len;
	struct stat st;
	int r = 0;

	if (len)
		str_addc(&d->path, '/');
	str_add(&d->path, name);
	if (str_err(&d->path) < 0)
		return err_num(d->e, -ENOMEM, "archive");
	if (d->filter) {
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(d->e, "%s", shown(d));
		if (!d->filter(d->arg, d->path.buf, st.st_mode))
			goto out;
	}
	r = put_tokens(d, "entry", "(", "name", name, "node");
	if (r == 0)
		r = dump_node(d, fd, name);
	if (r == 0)
		r = put_tokens(d, ")");
out:
	str_cut(&d->path, len);
	return r;
}

static int dump_directory(struct dumper *d, int dirfd, const char *name)
{
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	int r;

	if (fd < 0)
		return err_sys(d->e, "open %s", shown(d));
	if (d->depth == LIMIT_NAR_DEPTH)
		return err_set(d->e, -ERR_LIMIT,
			       "directories are nested deeper than %d at %.60s...", LIMIT_NAR_DEPTH,
			       shown(d));
	r = nar_list_dir(&a, fd, &names);
	if (r < 0)
		return err_num(d->e, r, "list %s", shown(d));
	d->depth++;
	r = put_tokens(d, "(", "type", "directory");
	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = dump_entry(d, fd, names.v[i]);
	d->depth--;
	return r == 0 ? put_tokens(d, ")") : r;
}

static int dump_node(struct dumper *d, int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(d->e, "%s", d->path.len ? d->path.buf : name);
	if (S_ISREG(st.st_mode))
		return dump_regular(d, dirfd, name);
	if (S_ISLNK(st.st_mode))
		return dump_symlink(d, dirfd, name);
	if (S_ISDIR(st.st_mode))
		return dump_directory(d, dirfd, name);
	return err_set(d->e, -ERR_INVALID,
		       "%s has a type that the store cannot hold [only files, directories and "
		       "symbolic links]",
		       d->path.len ? d->path.buf : name);
}

int nar_dump(int dirfd, const char *path, nar_filter_fn *filter, void *arg, struct nar_sink *out,
	     struct err *e)
{
	struct dumper d = { .out = out, .filter = filter, .arg = arg, .e = e, .path = STR_INIT };
	int r;

	d.buf = mem_realloc(NULL, NAR_BUF);
	if (!d.buf)
		return err_num(e, -ENOMEM, "archive");
	r = put_tokens(&d, NAR_MAGIC);
	if (r == 0)
		r = dump_node(&d, dirfd, path);
	if (r == 0)
		r = flush(&d);
	free(d.buf);
	str_done(&d.path);
	return r;
}

/* ---- Sinks and sources ------------------------------------------------------------------------
 */

struct hash_sink {
	struct nar_sink sink;
	struct hasher *h; /* borrowed */
	uint64_t size;
};

static int hash_sink_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	struct hash_sink *s = CONTAINER_OF(sink, struct hash_sink, sink);

	(void)e;
	hasher_add(s->h, p, n);
	s->size += n;
	return 0;
}

int nar_hash(int dirfd, const char *path, enum digest_algo algo, nar_filter_fn *filter, void *arg,
	     struct digest *ret, uint64_t *ret_size, struct err *e)
{
	struct hash_sink s = { { hash_sink_write }, NULL, 0 };
	int r = hasher_new(algo, &s.h);

	if (r < 0)
		return err_num(e, r, "hash");
	r = nar_dump(dirfd, path, filter, arg, &s.sink, e);
	if (r < 0) {
		hasher_free(s.h);
		return r;
	}
	*ret = hasher_end(s.h);
	if (ret_size)
		*ret_size = s.size;
	return 0;
}

struct fd_sink {
	struct nar_sink sink;
	int fd; /* borrowed */
};

static int fd_sink_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	struct fd_sink *s = CONTAINER_OF(sink, struct fd_sink, sink);
	int r = fd_write_full(s->fd, p, n);

	return r < 0 ? err_num(e, r, "write the archive") : 0;
}

struct nar_sink *nar_sink_fd(struct arena *a, int fd)
{
	struct fd_sink *s = ARENA_NEW(a, struct fd_sink);

	if (!s)
		return NULL;
	s->sink.write = fd_sink_write;
	s->fd = fd;
	return &s->sink;
}

struct fd_source {
	struct nar_source source;
	int fd; /* borrowed */
	size_t pos, len;
	char buf[64 << 10];
};

static int fd_source_fill(struct fd_source *s, struct err *e)
{
	ssize_t n = fd_read_some(s->fd, s->buf, sizeof(s->buf));

	if (n < 0)
		return err_num(e, (int)n, "read the archive");
	s->pos = 0;
	s->len = (size_t)n;
	return 0;
}

static int fd_source_read(struct nar_source *source, void *p, size_t n, struct err *e)
{
	struct fd_source *s = CONTAINER_OF(source, struct fd_source, source);
	char *to = p;
	int r;

	while (n) {
		size_t part = MIN_OF(n, s->len - s->pos);

		if (part) {
			memcpy(to, s->buf + s->pos, part);
			s->pos += part;
			to += part;
			n -= part;
			continue;
		}
		if (n >= sizeof(s->buf)) {
			r = fd_read_full(s->fd, to, n);
			if (r == -ENODATA)
				break;
			return r < 0 ? err_num(e, r, "read the archive") : 0;
		}
		r = fd_source_fill(s, e);
		if (r < 0)
			return r;
		if (!s->len)
			break;
	}
	return n ? err_set(e, -ERR_SYNTAX, "bad archive: it ends early") : 0;
}

struct nar_source *nar_source_fd(struct arena *a, int fd)
{
	struct fd_source *s = ARENA_NEW(a, struct fd_source);

	if (!s)
		return NULL;
	s->source.read = fd_source_read;
	s->fd = fd;
	return &s->source;
}

int nar_source_fd_at_end(struct nar_source *source, bool *ret, struct err *e)
{
	struct fd_source *s = CONTAINER_OF(source, struct fd_source, source);
	int r = s->pos == s->len ? fd_source_fill(s, e) : 0;

	if (r == 0)
		*ret = s->pos == s->len;
	return r;
}

static int tee_read(struct nar_source *source, void *p, size_t n, struct err *e)
{
	struct nar_tee *t = CONTAINER_OF(source, struct nar_tee, source);
	int r = t->in->read(t->in, p, n, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(t->h); i++)
		if (t->h[i])
			hasher_add(t->h[i], p, n);
	t->size += n;
	return 0;
}

void nar_tee_init(struct nar_tee *t, struct nar_source *in, struct hasher *a, struct hasher *b)
{
	*t = (struct nar_tee){ { tee_read }, in, { a, b }, 0 };
}
