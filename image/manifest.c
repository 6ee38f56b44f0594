/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "image/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "store/store.h"

#define LIMIT_DEPTH 256

struct man_entry *manifest_add(struct manifest *m, enum man_type type, const char *path)
{
	struct man_entry *n = ARENA_NEW(m->arena, struct man_entry);

	if (!n)
		return NULL;
	n->type = type;
	n->path = arena_str(m->arena, path);
	n->mode = type == MAN_DIR ? 0755 : type == MAN_LINK ? 0777 : 0644;
	n->mtime = 1;
	vec_add(&m->entries, n);
	return n->path && !m->entries.err ? n : NULL;
}

struct man_entry *manifest_dir(struct manifest *m, const char *path, unsigned mode)
{
	struct man_entry *n = manifest_add(m, MAN_DIR, path);

	if (n)
		n->mode = mode;
	return n;
}

struct man_entry *manifest_link(struct manifest *m, const char *path, const char *target)
{
	struct man_entry *n = manifest_add(m, MAN_LINK, path);

	if (n)
		n->target = arena_str(m->arena, target);
	return n && n->target ? n : NULL;
}

struct man_entry *manifest_bytes(struct manifest *m, const char *path, unsigned mode,
				 struct slice data)
{
	struct man_entry *n = manifest_add(m, MAN_FILE, path);

	if (!n)
		return NULL;
	n->mode = mode;
	n->data = (struct slice){ arena_dup(m->arena, data.p, data.n), data.n };
	n->size = data.n;
	return n->data.p ? n : NULL;
}

/* ---- Trees on disk --------------------------------------------------------------------------- */

struct walk {
	struct manifest *m;
	struct store_info *item; /* NULL: a copy */
	const char *prefix;	 /* of a copy: where the store is */
	struct path source;	 /* physical */
	struct path path;	 /* in the image */
	size_t depth;
};

static int walk_node(struct walk *w, int dirfd, const char *name, struct err *e);

static int walk_dir(struct walk *w, int dirfd, const char *name, struct err *e)
{
	auto_vec struct vec names = VEC_INIT;
	struct dirent *d;
	int r = 0;

	if (w->depth >= LIMIT_DEPTH)
		return err_set(e, -ERR_LIMIT, "%s: too deep", w->source.buf);
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", w->source.buf);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), more;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		r = err_sys(e, "%s", w->source.buf);
		fd_close(&copy);
		return r;
	}
	while ((more = file_next(dir, &d)) > 0)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			vec_add(&names, arena_str(w->m->arena, d->d_name));
	if (more < 0)
		r = err_num(e, more, "%s", w->source.buf);
	(void)closedir(dir); /* only read from */
	if (r == 0 && (names.err || arena_err(w->m->arena)))
		r = err_num(e, -ENOMEM, "%s", w->source.buf);
	if (r < 0)
		return r;
	vec_sort_str(&names);
	w->depth++;
	for (size_t i = 0; i < names.n && r == 0; i++) {
		const char *entry = (const char *)names.v[i];
		size_t source = path_push(&w->source, entry);
		size_t path = path_push(&w->path, entry);

		r = w->source.err || w->path.err ? err_num(e, -ENAMETOOLONG, "%s", entry)
						 : walk_node(w, fd, entry, e);
		path_pop(&w->source, source);
		path_pop(&w->path, path);
	}
	w->depth--;
	return r;
}

/* In a copy, a link into the store stands for what it names. */
static bool is_followed(const struct walk *w, const char *target)
{
	return !w->item && path_is_clean(target) && path_is_below(target, STORE_DIR_DEFAULT);
}

static int walk_behind(struct walk *w, const char *target, struct err *e)
{
	struct path saved = w->source;
	char physical[PATH_MAX];
	int n = snprintf(physical, sizeof(physical), "%s%s", w->prefix, target);

	if (n < 0 || (size_t)n >= sizeof(physical))
		return err_num(e, -ENAMETOOLONG, "%s", target);
	if (w->depth >= LIMIT_DEPTH)
		return err_set(e, -ERR_LIMIT, "%s: too many links", w->source.buf);
	path_init(&w->source, physical);
	w->depth++;
	int r = walk_node(w, AT_FDCWD, physical, e);
	w->depth--;
	w->source = saved;
	return r;
}

static int walk_node(struct walk *w, int dirfd, const char *name, struct err *e)
{
	auto_str struct str target = STR_INIT;
	struct man_entry *n = NULL;
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "%s", w->source.buf);
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		n = manifest_dir(w->m, w->path.buf, w->item ? 0555 : 0755);
		break;
	case S_IFREG:
		n = manifest_add(w->m, MAN_FILE, w->path.buf);
		if (n) {
			n->mode = (w->item ? 0444 : 0644) | (st.st_mode & 0100 ? 0111 : 0);
			n->size = (uint64_t)st.st_size;
			n->source = arena_str(w->m->arena, w->source.buf);
		}
		break;
	case S_IFLNK:
		if ((r = file_readlink(dirfd, name, &target, e)) < 0)
			return r;
		if (is_followed(w, target.buf))
			return walk_behind(w, target.buf, e);
		n = manifest_link(w->m, w->path.buf, target.buf);
		break;
	default:
		return err_set(e, -ERR_INVALID, "%s: neither file, directory nor link",
			       w->source.buf);
	}
	if (!n || arena_err(w->m->arena))
		return err_num(e, -ENOMEM, "%s", w->source.buf);
	n->item = w->item;
	n->depth = w->depth;
	return n->type == MAN_DIR ? walk_dir(w, dirfd, name, e) : 0;
}

int manifest_add_item(struct manifest *m, const char *source, struct store_info *item,
		      struct err *e)
{
	struct walk w = { .m = m, .item = item };

	path_init(&w.source, source);
	path_init(&w.path, item->path + 1);
	if (w.source.err || w.path.err)
		return err_num(e, -ENAMETOOLONG, "%s", source);
	return walk_node(&w, AT_FDCWD, source, e);
}

int manifest_add_copy(struct manifest *m, const char *prefix, const char *source, const char *path,
		      struct err *e)
{
	struct walk w = { .m = m, .prefix = prefix };

	path_init(&w.source, source);
	path_init(&w.path, path);
	if (w.source.err || w.path.err)
		return err_num(e, -ENAMETOOLONG, "%s", source);
	return walk_node(&w, AT_FDCWD, source, e);
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* '/' sorts below every other byte, so that what is in a directory comes right behind it. */
static int path_order(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	unsigned char x = *a == '/' ? 1 : (unsigned char)*a;
	unsigned char y = *b == '/' ? 1 : (unsigned char)*b;
	if (x == y) /* '/' against byte 1, or both ended */
		return *a == *b ? 0 : *a == '/' ? -1 : 1;
	return x < y ? -1 : 1;
}

static int entry_order(const void *a, const void *b)
{
	const struct man_entry *x = *(const struct man_entry *const *)a;
	const struct man_entry *y = *(const struct man_entry *const *)b;

	return path_order(x->path, y->path);
}

static bool is_parent(const struct man_entry *dir, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	return dir->type == MAN_DIR && strlen(dir->path) == n && memcmp(dir->path, path, n) == 0;
}

int manifest_finish(struct manifest *m, struct err *e)
{
	const struct man_entry *open[LIMIT_DEPTH + 8];
	size_t nopen = 0;

	if (m->entries.err || arena_err(m->arena))
		return err_num(e, -ENOMEM, "manifest");
	if (m->entries.n)
		qsort(m->entries.v, m->entries.n, sizeof(void *), entry_order);
	for (size_t i = 0; i < m->entries.n; i++) {
		const struct man_entry *n = manifest_at(m, i);

		if (i == 0) {
			if (*n->path || n->type != MAN_DIR)
				return err_set(e, -ERR_INVALID, "manifest has no root directory");
			open[nopen++] = n;
			continue;
		}
		if (n->path[0] == '/' || !path_is_clean(n->path))
			return err_set(e, -ERR_INVALID, "manifest: bad path '%s'", n->path);
		if (strcmp(manifest_at(m, i - 1)->path, n->path) == 0)
			return err_set(e, -ERR_INVALID, "manifest: /%s stands twice", n->path);
		while (nopen && !is_parent(open[nopen - 1], n->path))
			nopen--;
		if (!nopen)
			return err_set(e, -ERR_INVALID, "manifest: nothing holds /%s", n->path);
		if (n->type != MAN_DIR)
			continue;
		if (nopen == sizeof(open) / sizeof(open[0]))
			return err_set(e, -ERR_LIMIT, "manifest: /%s is too deep", n->path);
		open[nopen++] = n;
	}
	return m->entries.n ? 0 : err_set(e, -ERR_INVALID, "manifest is empty");
}

const struct man_entry *manifest_at(const struct manifest *m, size_t i)
{
	return (const struct man_entry *)m->entries.v[i];
}

void manifest_done(struct manifest *m)
{
	vec_done(&m->entries);
}
