/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/links.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"
#include "store/store.h"

#define LOCK_MOMENTS 200 /* of 10 ms */

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* ---- Names ----------------------------------------------------------------------------------- */

unsigned links_number(const struct links *l, const char *file)
{
	struct slice s = slice_of(file);
	size_t n = strlen(l->name);
	uint64_t number;

	if (s.n <= n + 6 || strncmp(file, l->name, n) != 0 || file[n] != '-' ||
	    !slice_ends(s, "-link"))
		return 0;
	s.p += n + 1;
	s.n -= n + 6;
	if (s.p[0] == '0' || text_u64(s, LINKS_NUMBER_MAX, &number) < 0)
		return 0;
	return (unsigned)number;
}

char *links_path(const struct links *l, struct arena *a, unsigned number)
{
	return arena_fmt(a, "%s%s/%s-%u-link", l->root, l->dir, l->name, number);
}

char *links_head(const struct links *l, struct arena *a)
{
	return arena_fmt(a, "%s%s/%s", l->root, l->dir, l->name);
}

/* ---- Reading --------------------------------------------------------------------------------- */

int links_read(struct arena *a, const char *link, const char **ret, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	int r = file_readlink(AT_FDCWD, link, &text, &tmp);

	if (r == -ENOENT) {
		*ret = NULL;
		return 0;
	}
	if (r < 0)
		return err_set(e, r, "%s", tmp.msg);
	*ret = arena_slice(a, str_slice(&text));
	return *ret ? 0 : no_memory(e);
}

static int load_one(const struct links *l, struct arena *a, unsigned number, struct vec *ret,
		    struct err *e)
{
	struct links_item *x = ARENA_NEW(a, struct links_item);
	char *link = links_path(l, a, number);
	size_t n = strlen(l->store);
	struct stat st;
	int r;

	if (!x || !link)
		return no_memory(e);
	if (lstat(link, &st) < 0)
		return err_sys(e, "%s", link);
	x->number = number;
	x->date = st.st_mtime;
	r = links_read(a, link, &x->path, e);
	if (r < 0)
		return r;
	if (!x->path)
		return err_set(e, -ENOENT, "%s disappeared", link);
	if (n && strncmp(x->path, l->store, n) == 0 && x->path[n] == '/')
		x->path += n;
	if (store_path_check(l->store_dir, slice_of(x->path), e) < 0)
		return err_wrap(e, e->code, "%s", link);
	vec_add(ret, x);
	return ret->err ? no_memory(e) : 0;
}

static int load_all(const struct links *l, struct arena *a, DIR *dir, struct vec *ret,
		    struct err *e)
{
	struct dirent *d;
	int r = 0, more = 0;

	while (r == 0 && (more = file_next(dir, &d)) > 0) {
		unsigned number = links_number(l, d->d_name);

		if (number && ret->n == LIMIT_LINKS)
			r = err_set(e, -ERR_LIMIT, "more than %d generations of %s%s/%s",
				    LIMIT_LINKS, l->root, l->dir, l->name);
		else if (number)
			r = load_one(l, a, number, ret, e);
	}
	return r == 0 && more < 0 ? err_num(e, more, "%s%s", l->root, l->dir) : r;
}

static int compare(const void *x, const void *y)
{
	const struct links_item *a = *(struct links_item *const *)x;
	const struct links_item *b = *(struct links_item *const *)y;

	return a->number < b->number ? -1 : a->number > b->number;
}

int links_load(const struct links *l, struct arena *a, struct vec *ret, struct err *e)
{
	char *path = arena_fmt(a, "%s%s", l->root, l->dir);
	DIR *dir = path ? opendir(path) : NULL;
	int r;

	if (!path)
		return no_memory(e);
	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, "%s", path);
	r = load_all(l, a, dir, ret, e);
	(void)closedir(dir); /* only read from */
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare);
	return r;
}

int links_selected(const struct links *l, struct arena *a, const char **ret, struct err *e)
{
	char *link = links_head(l, a);

	return link ? links_read(a, link, ret, e) : no_memory(e);
}

/* ---- Changing -------------------------------------------------------------------------------- */

int links_make(const struct links *l, unsigned number, const char *path, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *link = links_path(l, &a, number);

	if (!link)
		return no_memory(e);
	if (number > LINKS_NUMBER_MAX)
		return err_set(e, -ERR_LIMIT, "generation number %u is too large", number);
	return file_symlink_atomic(AT_FDCWD, path, link, e);
}

static int remove_link(const struct links *l, struct arena *a, const char *link, struct err *e)
{
	char *dir = arena_fmt(a, "%s%s", l->root, l->dir);

	if (!link || !dir)
		return no_memory(e);
	if (unlink(link) < 0 && errno != ENOENT)
		return err_sys(e, "%s", link);
	return file_sync(AT_FDCWD, dir, e);
}

int links_remove(const struct links *l, unsigned number, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;

	return remove_link(l, &a, links_path(l, &a, number), e);
}

int links_select(const struct links *l, unsigned number, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char *target = arena_fmt(&a, "%s-%u-link", l->name, number);
	char *link = links_head(l, &a);

	return target && link ? file_symlink_atomic(AT_FDCWD, target, link, e) : no_memory(e);
}

int links_deselect(const struct links *l, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;

	return remove_link(l, &a, links_head(l, &a), e);
}

/* ---- The lock -------------------------------------------------------------------------------- */

/* The text that the holder left in the file, or one before him. */
static void read_holder(int fd, struct str *ret)
{
	auto_str struct str text = STR_INIT;

	str_cut(ret, 0);
	if (lseek(fd, 0, SEEK_SET) >= 0 && fd_read_all(fd, &text, 512) >= 0)
		text_safe(ret, slice_trim(str_slice(&text)));
}

static bool is_alive(const struct str *holder)
{
	struct slice rest = str_slice(holder), word;
	uint64_t pid;

	return slice_cut(&rest, ' ', &word) && slice_cut(&rest, ',', &word) &&
	       text_u64(word, INT32_MAX, &pid) == 0 && pid &&
	       (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

/* Take the lock, or say who has it. Who has just got it has not left his name yet: what is there is
 * nothing, or the name of one who is gone. */
static int take_lock(int fd, const char *file, const char *what, struct err *e)
{
	const struct timespec moment = { .tv_nsec = 10 * 1000 * 1000 };
	auto_str struct str holder = STR_INIT;

	for (unsigned i = 0; i < LOCK_MOMENTS; i++) {
		int r = fd_lock(fd, true, false);

		if (r != -EAGAIN)
			return r < 0 ? err_num(e, r, "cannot lock %s", file) : 0;
		read_holder(fd, &holder);
		if (is_alive(&holder))
			break;
		(void)nanosleep(&moment, NULL);
	}
	return err_set(e, -ERR_IN_USE, "%s is being changed by another command: %s", what,
		       holder.len ? holder.buf : "unknown");
}

int links_lock(const struct links *l, const char *what, const char *verb, int *ret_fd,
	       struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_fd int fd = -1;
	char *file = arena_fmt(&a, "%s%s/%s.lock", l->root, l->dir, l->name);
	time_t now = time(NULL);
	char when[32] = "";
	struct tm tm;
	int r;

	if (!file)
		return no_memory(e);
	fd = file_open_lock(AT_FDCWD, file, e);
	if (fd < 0)
		return fd;
	r = take_lock(fd, file, what, e);
	if (r < 0)
		return r;
	if (gmtime_r(&now, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	if (ftruncate(fd, 0) < 0 ||
	    dprintf(fd, "process %ld, %s, since %s\n", (long)getpid(), verb, when) < 0)
		return err_sys(e, "%s", file);
	*ret_fd = fd_take(&fd);
	return 0;
}
