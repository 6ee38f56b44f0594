/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/sources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"
#include "lib/vec.h"
#include "lib/wire.h"

#define LIMIT_MEMORY	 ((size_t)4 << 20) /* bytes of the remembered hashes */
#define LIMIT_TREE_DEPTH 40
#define LIMIT_TREE_FILES 200000
#define RECORD		 64 /* key, hash */
#define FRESH_NS	 2000000000u

/* ---- Patterns ---------------------------------------------------------------------------------
 */

static bool match(const char *p, const char *pe, const char *s, const char *se)
{
	while (p < pe) {
		if (*p == '*') {
			bool deep = p + 1 < pe && p[1] == '*';
			p += deep ? 2 : 1;
			for (;; s++) {
				if (match(p, pe, s, se))
					return true;
				if (s == se || (*s == '/' && !deep))
					return false;
			}
		}
		if (s == se || (*p == '?' ? *s == '/' : *p != *s))
			return false;
		p++;
		s++;
	}
	return s == se;
}

bool pattern_match(struct slice pattern, struct slice path)
{
	return match(pattern.p, pattern.p + pattern.n, path.p, path.p + path.n);
}

/* Could something below directory dir match? Only the part before the first star is compared, which
 * is enough to stay out of big directories that have nothing to do with it. */
static bool pattern_below(struct slice pattern, struct slice dir)
{
	size_t i = 0;

	for (; i < pattern.n && i < dir.n; i++) {
		if (pattern.p[i] == '*' || pattern.p[i] == '?')
			return true;
		if (pattern.p[i] != dir.p[i])
			return false;
	}
	return i < pattern.n && (pattern.p[i] == '/' || pattern.p[i] == '*');
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

int sources_open_below(struct sources *s, uint64_t root, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	int fd;

	if (root >= LIMIT_EVAL_ROOTS || s->dirfd[root] < 0)
		return -ENOENT;
	fd = (int)syscall(__NR_openat2, s->dirfd[root], path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* Files that are not for everybody's eyes, beside a configuration: on a machine the values of
 * secrets and first passwords, which must not come into the store by mistake. */
static bool is_private(uint64_t root, struct slice path)
{
	struct slice part;

	while (root == CONFIGURATION_ROOT && slice_cut(&path, '/', &part)) {
		if (slice_is(part, "secrets") || slice_is(part, "passwords"))
			return true;
	}
	return false;
}

static int refuse_private(const char *path, struct err *e)
{
	return err_hint(e,
			err_set(e, -ERR_INVALID,
				"%s: what lies in a directory called secrets or passwords is not "
				"for the store",
				path),
			"name it in the field secrets of operating_system");
}

int sources_read(struct sources *s, uint64_t root, const char *path, struct str *out, struct err *e)
{
	auto_fd int fd = sources_open_below(s, root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return -ENOENT;
	if (fd < 0)
		return err_num(e, fd, "%s", path);
	if (is_private(root, slice_of(path)))
		return refuse_private(path, e);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ERR_INVALID, "%s: not a regular file", path);
	r = fd_read_all(fd, out, LIMIT_EVAL_FILE);
	if (r == -ERR_LIMIT)
		return err_set(e, r, "%s: larger than %zu bytes", path, LIMIT_EVAL_FILE);
	return r < 0 ? err_num(e, r, "%s", path) : 0;
}

int sources_exists(struct sources *s, uint64_t root, const char *path, struct err *e)
{
	auto_fd int fd = sources_open_below(s, root, *path ? path : ".", O_PATH | O_NOFOLLOW);

	if (fd == -ENOENT || fd == -ENOTDIR)
		return -ENOENT;
	return fd < 0 ? err_num(e, fd, "%s", path) : 0;
}

int sources_nearest(struct sources *s, uint64_t root, const char *path, struct str *out)
{
	const char *slash = strrchr(path, '/'), *near;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	struct dirent *entry;
	char dir[PATH_MAX];
	DIR *d;
	int fd;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	fd = sources_open_below(s, root, dir, O_RDONLY | O_DIRECTORY);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		fd_close(&fd);
		return -ENOENT;
	}
	while ((entry = readdir(d))) {
		struct slice name = slice_of(entry->d_name);
		if (name.n > 4 && strcmp(entry->d_name + name.n - 4, ".lua") == 0)
			name.n -= 4;
		if (name.p[0] != '.' && !slice_is(name, "init"))
			vec_add(&names, arena_slice(&a, name));
	}
	closedir(d);
	vec_sort_str(&names); /* the same one on every file system */
	near = names.err || arena_err(&a) ? NULL
					  : text_nearest(slash ? slash + 1 : path,
							 (const char *const *)names.v, names.n);
	if (near)
		str_add(out, near);
	return near ? str_err(out) : -ENOENT;
}

/* ---- Walking ----------------------------------------------------------------------------------
 */

struct walk {
	struct source_tree *tree;
	const struct strings *only;
	struct hasher *key;
	struct err *err;
	size_t files;
	uint64_t now, root;
};

static bool walk_wanted(const struct walk *w, struct slice rel, bool dir)
{
	if (w->only->n == 0)
		return true;
	for (size_t i = 0; i < w->only->n; i++)
		if (dir ? pattern_below(w->only->v[i], rel) : pattern_match(w->only->v[i], rel))
			return true;
	return false;
}

static void key_u64(struct hasher *h, uint64_t v)
{
	hasher_add(h, &v, sizeof(v));
}

static uint64_t in_ns(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void key_file(struct walk *w, const char *rel, const struct stat *st)
{
	hasher_add(w->key, rel, strlen(rel) + 1);
	key_u64(w->key, st->st_dev);
	key_u64(w->key, st->st_ino);
	key_u64(w->key, st->st_mode);
	key_u64(w->key, (uint64_t)st->st_size);
	key_u64(w->key, in_ns(st->st_mtim));
	key_u64(w->key, in_ns(st->st_ctim));
	if (in_ns(st->st_ctim) + FRESH_NS > w->now)
		w->tree->fresh = true;
}

/* Take rel and the directories it lies in. */
static void walk_take(struct walk *w, const char *rel)
{
	struct slice s = slice_of(arena_str(&w->tree->arena, rel));

	while (s.n) {
		bool new = false;
		void **slot = tab_put(&w->tree->taken, s, &new);
		if (!slot || !new)
			return;
		*slot = w;
		while (s.n && s.p[s.n - 1] != '/')
			s.n--;
		if (s.n)
			s.n--;
	}
}

static int walk_dir(struct walk *w, int fd, struct path *rel, unsigned depth);

/* One entry: fd is the directory, rel the path of the entry below the root of the walk. */
static int walk_entry(struct walk *w, int fd, const char *name, struct path *rel, unsigned depth)
{
	struct stat st;
	auto_fd int sub = -1;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(w->err, "%s", rel->buf);
	if (!walk_wanted(w, slice_of(rel->buf), S_ISDIR(st.st_mode)))
		return 0;
	if (is_private(w->root, slice_of(rel->buf)))
		return refuse_private(rel->buf, w->err);
	if (S_ISDIR(st.st_mode)) {
		if (w->only->n == 0) /* empty directories count, too */
			key_file(w, rel->buf, &st);
		sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			return err_sys(w->err, "%s", rel->buf);
		return walk_dir(w, sub, rel, depth + 1);
	}
	if (w->only->n && !S_ISREG(st.st_mode))
		return 0;
	if (++w->files > LIMIT_TREE_FILES)
		return err_set(w->err, -ERR_LIMIT, "%s: more than %d files", w->tree->name,
			       LIMIT_TREE_FILES);
	key_file(w, rel->buf, &st);
	walk_take(w, rel->buf);
	return 0;
}

static int read_names(int fd, struct arena *a, struct vec *names)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *ent;
	int r = 0;

	if (!d) {
		r = -errno;
		fd_close(&copy);
		return r;
	}
	for (errno = 0; (ent = readdir(d)); errno = 0)
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			vec_add(names, arena_str(a, ent->d_name));
	r = -errno;
	(void)closedir(d);
	vec_sort_str(names);
	return r < 0 ? r : names->err;
}

static int walk_dir(struct walk *w, int fd, struct path *rel, unsigned depth)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	int r = read_names(fd, &a, &names);

	if (r < 0 || arena_err(&a))
		return err_num(w->err, r < 0 ? r : arena_err(&a), "%s", rel->buf);
	if (depth > LIMIT_TREE_DEPTH)
		return err_set(w->err, -ERR_LIMIT, "%s: nested too deep", rel->buf);
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.v[i];
		size_t old;
		/* Hidden files and editors' back-ups are never meant. */
		if (w->only->n &&
		    (name[0] == '.' || name[0] == '#' || name[strlen(name) - 1] == '~'))
			continue;
		old = rel->len;
		if (old == 0)
			path_init(rel, name);
		else
			path_push(rel, name);
		r = rel->err ? err_num(w->err, rel->err, "%s", name)
			     : walk_entry(w, fd, name, rel, depth);
		path_pop(rel, old);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- Trees ------------------------------------------------------------------------------------
 */

/* The tree to walk: *ret_fd is the directory that holds it, *ret_name its name there. */
static int locate(struct sources *s, const struct node *n, char name[PATH_MAX], int *ret_fd,
		  struct err *e)
{
	char path[PATH_MAX], dir[PATH_MAX];
	int fd;

	if (n->kind == NODE_SELF) {
		/* On a machine the modules directory has a link to what it was made with. */
		fd = openat(s->dirfd[0], "source", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			fd = sources_open_below(s, 0, ".", O_RDONLY | O_DIRECTORY);
		snprintf(name, PATH_MAX, ".");
	} else {
		if (n->path.n >= sizeof(path))
			return err_set(e, -ENAMETOOLONG, "source: path too long");
		snprintf(path, sizeof(path), "%.*s", (int)n->path.n, n->path.p);
		if (!*path) {
			fd = sources_open_below(s, n->root, ".", O_RDONLY | O_DIRECTORY);
			snprintf(name, PATH_MAX, ".");
		} else {
			int r = path_dir(dir, path);
			if (r < 0)
				return err_num(e, r, "%s", path);
			snprintf(name, PATH_MAX, "%s", path_base(path));
			fd = sources_open_below(s, n->root, dir, O_RDONLY | O_DIRECTORY);
		}
	}
	if (fd < 0)
		return err_num(e, fd == -1 ? -errno : fd, "source '%.*s'", (int)n->path.n,
			       n->path.p);
	*ret_fd = fd;
	return 0;
}

static int source_walk(struct source_tree *t, const struct node *n, struct walk *w, struct err *e)
{
	struct path rel = { .len = 0 };
	struct stat st;
	auto_fd int fd = -1;

	if (fstatat(t->dirfd, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "source '%.*s'", (int)n->path.n, n->path.p);
	if (!S_ISDIR(st.st_mode)) {
		if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
			return err_set(e, -ERR_INVALID, "source '%.*s': not a file or directory",
				       (int)n->path.n, n->path.p);
		t->all = true;
		key_file(w, "", &st);
		return 0;
	}
	fd = openat(t->dirfd, t->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "source '%.*s'", (int)n->path.n, n->path.p);
	t->all = n->list.n == 0;
	return walk_dir(w, fd, &rel, 0);
}

int source_open(struct sources *s, const struct node *n, struct source_tree *t, struct err *e)
{
	struct walk w = { t, &n->list, NULL, e, 0, 0, n->kind == NODE_SELF ? 0 : n->root };
	struct timespec now;
	struct digest d;
	char name[PATH_MAX];
	int r = is_private(w.root, n->path) ? refuse_private("source", e)
					    : locate(s, n, name, &t->dirfd, e);

	if (r < 0)
		return r;
	t->name = arena_str(&t->arena, name);
	clock_gettime(CLOCK_REALTIME, &now);
	w.now = in_ns(now);
	r = hasher_new(DIGEST_SHA256, &w.key);
	if (r < 0)
		return err_num(e, r, "source");
	r = source_walk(t, n, &w, e);
	d = hasher_end(w.key);
	memcpy(t->key, d.bytes, sizeof(t->key));
	if (r == 0 && (arena_err(&t->arena) || t->taken.err))
		r = err_set(e, -ENOMEM, "source: out of memory");
	return r;
}

void source_done(struct source_tree *t)
{
	fd_close(&t->dirfd);
	tab_done(&t->taken);
	arena_done(&t->arena);
}

bool source_filter(void *arg, const char *rel, unsigned mode)
{
	const struct source_tree *t = arg;

	return t->all || tab_has(&t->taken, slice_of(rel));
}

/* ---- Remembered hashes ------------------------------------------------------------------------
 */

static bool memory_path(char out[PATH_MAX])
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (cache && *cache == '/')
		return path_join(out, cache, "cairn/sources") == 0;
	return home && *home == '/' && path_join(out, home, ".cache/cairn/sources") == 0;
}

static void memory_put(struct sources *s, const char *key, const void *hash)
{
	bool new = false;
	char *k = arena_dup(&s->arena, key, 32), *v = arena_dup(&s->arena, hash, 32);
	void **slot = k && v ? tab_put(&s->known, (struct slice){ k, 32 }, &new) : NULL;

	if (slot && new)
		*slot = v;
}

static void memory_load(struct sources *s)
{
	auto_str struct str text = STR_INIT;
	char path[PATH_MAX];

	if (s->loaded)
		return;
	s->loaded = true;
	if (!memory_path(path) || file_read(AT_FDCWD, path, &text, LIMIT_MEMORY, NULL) < 0 ||
	    text.len % RECORD)
		return;
	for (size_t i = 0; i < text.len; i += RECORD)
		memory_put(s, text.buf + i, text.buf + i + 32);
}

void sources_save(struct sources *s)
{
	auto_str struct str text = STR_INIT;
	char path[PATH_MAX], dir[PATH_MAX];
	struct tab_slot *slot;
	size_t i = 0;

	if (!s->changed || !memory_path(path) || path_dir(dir, path) < 0)
		return;
	if (s->known.count * RECORD > LIMIT_MEMORY / 2)
		return; /* start again next time the file is gone */
	while ((slot = tab_next(&s->known, &i))) {
		str_addn(&text, slot->key.p, 32);
		str_addn(&text, slot->value, 32);
	}
	/* A cache: when it cannot be written, the next run hashes again. */
	if (!str_err(&text) && file_mkdir_p(AT_FDCWD, dir, 0755, NULL) == 0)
		(void)file_write_atomic(AT_FDCWD, path, text.buf, text.len, 0644, NULL);
}

int sources_hash(void *arg, const struct node *n, struct digest *ret, struct err *e)
{
	struct sources *s = arg;
	struct source_tree t = SOURCE_TREE_INIT;
	const void *have;
	uint64_t size;
	int r = source_open(s, n, &t, e);

	if (r < 0)
		goto out;
	memory_load(s);
	have = tab_find(&s->known, (struct slice){ (const char *)t.key, 32 });
	if (have && !t.fresh) {
		ret->algo = DIGEST_SHA256;
		memcpy(ret->bytes, have, 32);
		goto out;
	}
	r = nar_hash(t.dirfd, t.name, DIGEST_SHA256, source_filter, &t, ret, &size, e);
	if (r < 0)
		r = err_wrap(e, r, "source '%.*s'", (int)n->name.n, n->name.p);
	else if (!t.fresh) {
		memory_put(s, (const char *)t.key, ret->bytes);
		s->changed = true;
	}
out:
	source_done(&t);
	return r;
}

void sources_done(struct sources *s)
{
	for (int i = 0; i < LIMIT_EVAL_ROOTS; i++)
		fd_close(&s->dirfd[i]);
	tab_done(&s->known);
	arena_done(&s->arena);
}
