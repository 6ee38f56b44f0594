/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bootloader/bootfiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/text.h"
#include "store/store.h"

#define HASH_DIGITS	32 /* 128 bits of the SHA-256 */
#define TEMP		"boot-file.new"
#define LIMIT_BOOT_FILE (1u << 30)
#define COPY_BUFFER	(256 * 1024)
#define SPARE_CLUSTERS	4 /* directories grow, too */

/* ---- Names ----------------------------------------------------------------------------------- */

/* Hash what fd has from its beginning; with to >= 0 write it there. */
static int pass(int fd, int to, const char *name, struct digest *ret, uint64_t *ret_size,
		struct err *e)
{
	auto_free char *buf = malloc(COPY_BUFFER);
	struct hasher *h = NULL;
	uint64_t size = 0;
	ssize_t n = 0;
	int r = buf ? hasher_new(DIGEST_SHA256, &h) : -ENOMEM;

	while (r == 0 && (n = fd_read_some(fd, buf, COPY_BUFFER)) > 0) {
		size += (uint64_t)n;
		hasher_add(h, buf, (size_t)n);
		if (size > LIMIT_BOOT_FILE)
			r = -EFBIG;
		else if (to >= 0)
			r = fd_write_full(to, buf, (size_t)n);
	}
	if (r == 0 && n < 0)
		r = (int)n;
	if (r < 0) {
		hasher_free(h);
		return err_num(e, r, "%s", name);
	}
	*ret = hasher_end(h);
	*ret_size = size;
	return 0;
}

static char *name_of(struct arena *a, const struct digest *d, const char *kind)
{
	char hex[DIGEST_TEXT_MAX];

	digest_hex(d, hex);
	return arena_fmt(a, "%.*s-%s", HASH_DIGITS, hex, kind);
}

/* A name that this file made: nothing else in the directory is ever removed. */
static bool is_ours(const char *name)
{
	static const char *const kinds[] = { "-kernel", "-initrd", "-set" };
	size_t i = 0;

	if (strcmp(name, TEMP) == 0)
		return true;
	if (strspn(name, "0123456789abcdef") != HASH_DIGITS)
		return false;
	while (i < ARRAY_LEN(kinds) && strcmp(name + HASH_DIGITS, kinds[i]) != 0)
		i++;
	return i < ARRAY_LEN(kinds);
}

static const struct bootfile *find(const struct bootfiles *b, const char *logical)
{
	for (size_t i = 0; i < b->files.n; i++) {
		const struct bootfile *f = b->files.v[i];
		if (strcmp(f->logical, logical) == 0)
			return f;
	}
	return NULL;
}

static int add(struct bootfiles *b, const char *store, const char *logical, const char *kind,
	       struct err *e)
{
	struct digest d;
	struct stat st;

	if (!*logical || find(b, logical))
		return 0;
	struct bootfile *f = ARENA_NEW(b->arena, struct bootfile);
	if (!f)
		return err_num(e, -ENOMEM, "%s", logical);
	f->logical = logical;
	f->source = arena_fmt(b->arena, "%s%s", store, logical);
	if (!f->source)
		return err_num(e, -ENOMEM, "%s", logical);
	auto_fd int fd = open(f->source, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", f->source);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	int r = pass(fd, -1, f->source, &d, &f->size, e);
	if (r < 0)
		return r;
	f->name = name_of(b->arena, &d, kind);
	vec_add(&b->files, f);
	return !f->name || b->files.err ? err_num(e, -ENOMEM, "%s", logical) : 0;
}

static int name_order(const void *a, const void *b)
{
	const struct bootfile *x = *(const struct bootfile *const *)a;
	const struct bootfile *y = *(const struct bootfile *const *)b;

	return strcmp(x->name, y->name);
}

/* The same files in any order, and however many generations have them, are the same set. */
static int name_set(struct bootfiles *b, struct err *e)
{
	auto_str struct str names = STR_INIT;
	const char *last = "";

	for (size_t i = 0; i < b->files.n; i++) {
		const struct bootfile *f = b->files.v[i];
		if (strcmp(f->name, last) != 0)
			str_addf(&names, "%s\n", f->name);
		last = f->name;
	}
	if (str_err(&names) < 0)
		return err_num(e, str_err(&names), "boot files");
	const struct digest d = digest_of(DIGEST_SHA256, names.buf, names.len);
	b->set = name_of(b->arena, &d, "set");
	return b->set ? 0 : err_num(e, -ENOMEM, "boot files");
}

static int add_item(struct bootfiles *b, const char *store, const struct boot_menu *m,
		    const struct boot_item *it, struct err *e)
{
	int r = add(b, store, it->entry.kernel, "kernel", e);

	if (r == 0)
		r = add(b, store, it->entry.initrd, "initrd", e);
	if (r < 0)
		err_wrap(e, r, "generation %u", it->number);
	/* A bad sector, or metadata that is damaged; not memory that is short. */
	if (r < 0 && r != -ENOMEM && it->number != m->default_number)
		err_hint(e, r, "cairn system delete-generations %u does without it", it->number);
	return r;
}

int bootfiles_load(struct bootfiles *b, const char *store, const struct boot_menu *m, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->nitems; i++)
		r = add_item(b, store, m, &m->items[i], e);
	if (r < 0)
		return r;
	qsort(b->files.v, b->files.n, sizeof(*b->files.v), name_order);
	return b->sets ? name_set(b, e) : 0;
}

void bootfiles_done(struct bootfiles *b)
{
	vec_done(&b->files);
}

const char *bootfiles_name(const struct bootfiles *b, const char *logical)
{
	const struct bootfile *f = find(b, logical);

	return f ? f->name : "";
}

/* ---- What can go ----------------------------------------------------------------------------- */

static bool names(const struct bootfiles *b, const char *name)
{
	if (b && b->set)
		return strcmp(b->set, name) == 0;
	for (size_t i = 0; b && i < b->files.n; i++)
		if (strcmp(((const struct bootfile *)b->files.v[i])->name, name) == 0)
			return true;
	return false;
}

/* Names in the directory that nothing names; strings in a. */
static int find_stale(const struct bootfiles *b, int dir, const struct str *text, struct arena *a,
		      struct vec *ret, struct err *e)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0, more;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!d) {
		r = err_sys(e, "boot files");
		fd_close(&copy);
		return r;
	}
	while ((more = file_next(d, &entry)) > 0)
		if (is_ours(entry->d_name) && !names(b, entry->d_name) &&
		    !(text->buf && strstr(text->buf, entry->d_name)))
			vec_add(ret, arena_str(a, entry->d_name));
	if (more < 0)
		r = err_num(e, more, "boot files");
	(void)closedir(d); /* only read from */
	return r == 0 && (ret->err || arena_err(a)) ? err_num(e, -ENOMEM, "boot files") : r;
}

static int remove_stale(const struct vec *stale, int dir, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < stale->n; i++) {
		log_debug("boot", "removing name=%s", (const char *)stale->v[i]);
		r = file_delete_tree(dir, stale->v[i], NULL, e);
	}
	return r;
}

/* settle: what the boot loader finds may be an older text than the one that is read here, when its
 * change failed half-way. */
static int prune(const struct bootfiles *b, int dir, const struct menu_place *text, bool settle,
		 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec stale = VEC_INIT;
	auto_str struct str now = STR_INIT;

	int r = menu_get(text, &now, e);
	if (r == 0)
		r = find_stale(b, dir, &now, &a, &stale, e);
	if (r == 0 && stale.n && settle)
		r = menu_flush(text, text->dir, e);
	return r == 0 ? remove_stale(&stale, dir, e) : r;
}

int bootfiles_prune(const struct bootfiles *b, int dir, const struct menu_place *text,
		    struct err *e)
{
	return prune(b, dir, text, false, e);
}

/* ---- Room ------------------------------------------------------------------------------------ */

/* The name is made from the contents: so what is there, under that or another name, can be told to
 * be whole. What the name was made from is so already. */
static bool is_whole(int dir, const char *at, const struct bootfile *f)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err ignored = ERR_INIT;
	struct digest d;
	struct stat st;
	uint64_t size;

	auto_fd int fd = openat(dir, at, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	if (st.st_dev == f->dev && st.st_ino == f->ino)
		return true;
	if (pass(fd, -1, at, &d, &size, &ignored) < 0)
		return false;
	const char *name = name_of(&a, &d, f->name + HASH_DIGITS + 1);
	return name && strcmp(name, f->name) == 0;
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Everything that is written stands beside what it replaces. freed: bytes that go before. */
static int check_room(int dir, const struct vec *missing, const struct bootfiles_more *more,
		      uint64_t freed, struct err *e)
{
	char want[16], have[16];
	struct statvfs fs;

	if (missing->n == 0 && more->files == 0)
		return 0; /* a partition that is full can still go back to what it has */
	if (fstatvfs(dir, &fs) < 0)
		return err_sys(e, "boot files");
	uint64_t unit = fs.f_frsize ? fs.f_frsize : 512;
	uint64_t need =
		round_up(more->bytes, unit) + (more->files + missing->n + SPARE_CLUSTERS) * unit;
	for (size_t i = 0; i < missing->n; i++)
		need += round_up(((const struct bootfile *)missing->v[i])->size, unit);
	uint64_t spare = (uint64_t)fs.f_bavail * unit + freed;
	if (need <= spare)
		return 0;
	text_human(need, want);
	text_human(spare, have);
	return err_hint(e,
			err_set(e, -ERR_SPACE,
				"the boot loader's file system has %s free, %s are needed for %zu "
				"new files "
				"(%llu of %llu bytes missing)",
				have, want, missing->n, (unsigned long long)(need - spare),
				(unsigned long long)need),
			"cairn system delete-generations lets kernels go that only old "
			"generations need");
}

/* ---- Linking --------------------------------------------------------------------------------- */

/* The directory of the set in a mount that has the store's own directory, too: at run time the
 * store is mounted over that, read-only, and link(2) does not reach from one mount into another. A
 * copy of the root's mount is without what is mounted upon it. */
static int open_together(const struct bootfiles *b, int *ret_top)
{
	char path[PATH_MAX], set[PATH_MAX];

	*ret_top = (int)syscall(SYS_open_tree, AT_FDCWD, *b->root ? b->root : "/",
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (*ret_top < 0 || path_join(path, b->sets, b->set) < 0 || path_join(set, ".", path) < 0)
		return -1;
	return openat(*ret_top, set, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool link_together(const struct bootfiles *b, int dir, const struct bootfile *f)
{
	auto_fd int top = -1;
	auto_fd int same = open_together(b, &top);
	struct stat x, y;

	return same >= 0 && fstat(same, &x) == 0 && fstat(dir, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino && linkat(top, f->logical + 1, same, f->name, 0) == 0;
}

/* From another set: where the store is on another file system, each file is copied once. */
static bool link_sibling(int dir, const struct bootfile *f)
{
	int sets = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = sets < 0 ? NULL : fdopendir(sets);
	struct dirent *entry;
	char path[PATH_MAX];
	bool done = false;

	while (d && !done && (entry = readdir(d)))
		done = is_ours(entry->d_name) && path_join(path, entry->d_name, f->name) == 0 &&
		       linkat(sets, path, dir, f->name, 0) == 0;
	if (d)
		(void)closedir(d); /* only read from */
	else
		fd_close(&sets);
	return done;
}

/* Whatever is in the way of a link, a copy does. */
static bool link_file(const struct bootfiles *b, int dir, const struct bootfile *f)
{
	if (linkat(AT_FDCWD, f->source, dir, f->name, 0) < 0 &&
	    (errno != EXDEV || (!link_together(b, dir, f) && !link_sibling(dir, f))))
		return false;
	if (is_whole(dir, f->name, f))
		return true;
	(void)unlinkat(dir, f->name, 0); /* a store of something else: the copy takes its place */
	return false;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* The file under that name, on the disk. */
static int write_as(int dir, const char *name, const struct bootfile *f, struct err *e)
{
	struct digest d;
	uint64_t size;

	auto_fd int in = open(f->source, O_RDONLY | O_CLOEXEC);
	auto_fd int out =
		openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (in < 0 || out < 0)
		return err_sys(e, "%s", in < 0 ? f->source : name);
	int r = pass(in, out, f->source, &d, &size, e);
	if (r < 0)
		return r;
	if (fsync(out) < 0)
		return err_sys(e, "%s", f->name);
	(void)posix_fadvise(out, 0, 0, POSIX_FADV_DONTNEED); /* from the disk, where possible */
	return 0;
}

/* Beside the text, which may be on FAT, it gets its name at once: a power cut in a rename could
 * leave two names for the same clusters, and the name says what must be in it. */
static int write_file(int dir, const struct bootfile *f, bool beside, struct err *e)
{
	const char *name = beside ? f->name : TEMP;

	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "removing %s", name);
	int r = write_as(dir, name, f, e);
	if (r == 0 && !is_whole(dir, name, f))
		r = err_set(e, -EIO, "%s is not what was written", f->name);
	if (r < 0)
		(void)unlinkat(dir, name, 0); /* in memory it may be whole: nobody must find it */
	else if (!beside && renameat(dir, TEMP, dir, f->name) < 0)
		r = err_sys(e, "%s", f->name);
	return r;
}

static int write_all(int dir, const struct vec *missing, bool beside, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < missing->n; i++)
		r = write_file(dir, missing->v[i], beside, e);
	if (r == 0 && menu_sync(dir) < 0)
		r = err_sys(e, "boot files");
	return r;
}

static bool has_name(const struct vec *files, const char *name)
{
	for (size_t i = 0; i < files->n; i++)
		if (strcmp(((const struct bootfile *)files->v[i])->name, name) == 0)
			return true;
	return false;
}

/* What is neither there nor could be linked. */
static int find_missing(const struct bootfiles *b, int dir, struct vec *missing, struct err *e)
{
	for (size_t i = 0; i < b->files.n; i++) {
		struct bootfile *f = b->files.v[i];
		if (!has_name(missing, f->name) && !is_whole(dir, f->name, f) &&
		    !(b->set && link_file(b, dir, f)))
			vec_add(missing, f);
	}
	return missing->err ? err_num(e, -ENOMEM, "boot files") : 0;
}

static int write_missing(const struct bootfiles *b, int dir, const struct bootfiles_more *more,
			 struct err *e)
{
	auto_vec struct vec missing = VEC_INIT;
	int r = find_missing(b, dir, &missing, e);

	/* Links and a menu have always found room on a root file system. */
	if (r == 0 && (missing.n || !b->set))
		r = check_room(dir, &missing, more, 0, e);
	return r == 0 ? write_all(dir, &missing, !b->set, e) : r;
}

static int write_set(const struct bootfiles *b, int sets, const struct bootfiles_more *more,
		     struct err *e)
{
	if (mkdirat(sets, b->set, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "%s/%s", b->sets, b->set);
	auto_fd int dir = openat(sets, b->set, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "%s/%s", b->sets, b->set);
	int r = write_missing(b, dir, more, e);
	return r == 0 && fsync(sets) < 0 ? err_sys(e, "%s", b->sets) : r;
}

int bootfiles_write(const struct bootfiles *b, int dir, const struct menu_place *text,
		    const struct bootfiles_more *more, struct err *e)
{
	struct err ignored = ERR_INIT;
	int r = prune(b, dir, text, true, e);

	if (r < 0)
		return r;
	r = b->set ? write_set(b, dir, more, e) : write_missing(b, dir, more, e);
	if (r < 0) /* as it was */
		(void)prune(NULL, dir, text, true, &ignored);
	return r;
}

/* ---- Before anything is changed ---------------------------------------------------------------
 */

/* In some set, so that it can be linked from there. */
static bool is_in_set(int sets, const char *name)
{
	int copy = sets < 0 ? -1 : openat(sets, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	char path[PATH_MAX];
	bool found = false;

	while (d && !found && (entry = readdir(d)))
		found = is_ours(entry->d_name) && path_join(path, entry->d_name, name) == 0 &&
			faccessat(sets, path, F_OK, 0) == 0;
	if (d)
		(void)closedir(d); /* only read from */
	else
		fd_close(&copy);
	return found;
}

static bool is_beside(int top, const struct bootfile *f)
{
	struct stat x, y;

	return fstat(top, &x) == 0 && stat(f->source, &y) == 0 && x.st_dev == y.st_dev;
}

static bool needs_copy(const struct bootfiles *b, int top, int dir, const struct bootfile *f)
{
	if (b->set)
		return !is_beside(top, f) && !is_in_set(dir, f->name);
	return dir < 0 || !is_whole(dir, f->name, f);
}

/* What prune() would let go of beside the text; of sets nothing is counted. */
static int count_stale(const struct bootfiles *b, int dir, const struct menu_place *text,
		       uint64_t *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec stale = VEC_INIT;
	auto_str struct str now = STR_INIT;
	struct stat st;
	int r = menu_get(text, &now, e);

	*ret = 0;
	if (r == 0)
		r = find_stale(b, dir, &now, &a, &stale, e);
	for (size_t i = 0; r == 0 && i < stale.n; i++)
		if (fstatat(dir, stale.v[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			*ret += (uint64_t)st.st_blocks * 512;
	return r;
}

int bootfiles_check_room(const struct bootfiles *b, int top, int dir, const struct menu_place *text,
			 const struct bootfiles_more *more, struct err *e)
{
	auto_vec struct vec missing = VEC_INIT;
	uint64_t freed = 0;
	int r = 0;

	for (size_t i = 0; i < b->files.n; i++) {
		struct bootfile *f = b->files.v[i];

		if (!has_name(&missing, f->name) && needs_copy(b, top, dir, f))
			vec_add(&missing, f);
	}
	if (missing.err)
		return err_num(e, -ENOMEM, "boot files");
	if (b->set && !missing.n)
		return 0;
	if (!b->set && dir >= 0)
		r = count_stale(b, dir, text, &freed, e);
	return r == 0 ? check_room(top, &missing, more, freed, e) : r;
}
