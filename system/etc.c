/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/etc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/vec.h"
#include "system/generation.h"

#define STATIC	   "/etc/static"
#define LIMIT_DEEP 16

struct etc {
	const struct sys_root *root;
	struct arena *a;
	const char *source; /* physical directory of the generation's files */
	struct err *e;
};

/* Names in a directory, sorted; in arena. A missing directory has none. */
static int list(struct arena *a, const char *path, struct vec *ret, struct err *e)
{
	DIR *dir = opendir(path);
	struct dirent *d;
	int more;

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, "%s", path);
	while ((more = file_next(dir, &d)) > 0) {
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			vec_add(ret, arena_str(a, d->d_name));
	}
	closedir(dir);
	if (more < 0)
		return err_num(e, more, "%s", path);
	vec_sort_str(ret);
	return ret->err || arena_err(a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* The generation's etc may be a link to an item of its own. */
static int find_source(struct etc *x, const char *system, const char **ret_logical)
{
	const char *logical = arena_fmt(x->a, "%s/etc", system);
	const char *physical = gen_part(x->root, x->a, system, "etc");
	struct stat st;

	if (!logical || !physical)
		return err_set(x->e, -ENOMEM, "out of memory");
	if (stat(physical, &st) < 0)
		return err_sys(x->e, "%s", logical);
	x->source = physical;
	*ret_logical = logical;
	return 0;
}

static int sweep(struct etc *x, const char *rel, unsigned depth, bool *ret_removed);

/* *ret_stays: a file is mounted there, as container programs do with /etc/hosts; it may stay. */
static int put_aside(struct etc *x, const char *path, bool *ret_stays)
{
	char *saved = arena_fmt(x->a, "%s.saved", path);

	if (!saved)
		return err_set(x->e, -ENOMEM, "out of memory");
	if (rename(path, saved) == 0)
		return 0;
	if (ret_stays && errno == EBUSY) {
		*ret_stays = true;
		return 0;
	}
	return err_sys(x->e, "cannot move %s out of the way", path);
}

/* A directory where the generation has a file: one that held only our links goes. */
static int clear_directory(struct etc *x, const char *path, const char *rel)
{
	bool removed = false;
	int rc = sweep(x, rel, 0, &removed);

	if (rc < 0 || rmdir(path) == 0 || errno == ENOENT)
		return rc;
	return put_aside(x, path, NULL);
}

/* Anything but a directory where the generation has one. A link is never followed: behind one of
 * an earlier generation lies the store. */
static int clear_for_directory(struct etc *x, const char *path)
{
	auto_str struct str target = STR_INIT;
	struct err tmp = ERR_INIT;
	struct stat st;

	if (lstat(path, &st) < 0 || S_ISDIR(st.st_mode))
		return 0;
	if (file_readlink(AT_FDCWD, path, &target, &tmp) < 0 ||
	    !slice_starts(str_slice(&target), STATIC "/"))
		return put_aside(x, path, NULL);
	return unlink(path) < 0 ? err_sys(x->e, "%s", path) : 0;
}

static int put_file(struct etc *x, const char *rel)
{
	char *path = arena_fmt(x->a, "%s/etc/%s", x->root->target, rel);
	char *target = arena_fmt(x->a, STATIC "/%s", rel);
	auto_str struct str now = STR_INIT;
	struct err tmp = ERR_INIT;
	bool stays = false;
	struct stat st;

	if (!path || !target)
		return err_set(x->e, -ENOMEM, "out of memory");
	if (lstat(path, &st) == 0 && !S_ISLNK(st.st_mode)) {
		int rc = S_ISDIR(st.st_mode) ? clear_directory(x, path, rel)
					     : put_aside(x, path, &stays);

		if (rc < 0 || stays)
			return rc;
	}
	if (file_readlink(AT_FDCWD, path, &now, &tmp) == 0 && slice_is(str_slice(&now), target))
		return 0;
	return file_symlink_atomic(AT_FDCWD, target, path, x->e);
}

static int put_dir(struct etc *x, const char *rel, unsigned depth)
{
	auto_vec struct vec names = VEC_INIT;
	const char *slash = rel[0] ? "/" : "";
	char *source = arena_fmt(x->a, "%s%s%s", x->source, slash, rel);
	char *dest = arena_fmt(x->a, "%s/etc%s%s", x->root->target, slash, rel);
	int rc;

	if (!source || !dest)
		return err_set(x->e, -ENOMEM, "out of memory");
	if (depth > LIMIT_DEEP)
		return err_set(x->e, -ERR_LIMIT, "%s: too deep", source);
	rc = rel[0] ? clear_for_directory(x, dest) : 0;
	if (rc == 0)
		rc = file_mkdir_p(AT_FDCWD, dest, 0755, x->e);
	if (rc == 0)
		rc = list(x->a, source, &names, x->e);
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		const char *name = names.v[i];
		char *inner = arena_fmt(x->a, "%s%s%s", rel, slash, name);
		char *file = arena_fmt(x->a, "%s/%s", source, name);
		struct stat st;

		if (!inner || !file)
			return err_set(x->e, -ENOMEM, "out of memory");
		if (lstat(file, &st) < 0)
			return err_sys(x->e, "%s", file);
		rc = S_ISDIR(st.st_mode) ? put_dir(x, inner, depth + 1) : put_file(x, inner);
	}
	return rc;
}

/* Is the link at path one of ours whose file the generation does not have? */
static bool is_stale(struct etc *x, const char *path, const char *rel)
{
	auto_str struct str target = STR_INIT;
	struct err tmp = ERR_INIT;
	char *source = arena_fmt(x->a, "%s/%s", x->source, rel);
	struct stat st;

	if (file_readlink(AT_FDCWD, path, &target, &tmp) < 0 ||
	    !slice_starts(str_slice(&target), STATIC "/"))
		return false;
	return source && lstat(source, &st) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

static int sweep(struct etc *x, const char *rel, unsigned depth, bool *ret_removed)
{
	auto_vec struct vec names = VEC_INIT;
	const char *slash = rel[0] ? "/" : "";
	char *dir = arena_fmt(x->a, "%s/etc%s%s", x->root->target, slash, rel);
	bool removed = false;
	int rc = dir ? list(x->a, dir, &names, x->e) : err_set(x->e, -ENOMEM, "out of memory");

	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		char *inner = arena_fmt(x->a, "%s%s%s", rel, slash, (const char *)names.v[i]);
		char *path = arena_fmt(x->a, "%s/%s", dir, (const char *)names.v[i]);
		struct stat st;

		if (!inner || !path)
			return err_set(x->e, -ENOMEM, "out of memory");
		if (lstat(path, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth < LIMIT_DEEP)
			rc = sweep(x, inner, depth + 1, &removed);
		else if (S_ISLNK(st.st_mode) && is_stale(x, path, inner))
			removed = unlink(path) == 0 || removed;
	}
	/* A directory that only held our links goes with them; others are not empty. */
	if (removed && rel[0])
		(void)rmdir(dir);
	*ret_removed = *ret_removed || removed;
	return rc;
}

int etc_apply(const struct sys_root *r, const char *system, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct etc x = { r, &a, NULL, e };
	auto_str struct str now = STR_INIT;
	struct err tmp = ERR_INIT;
	const char *logical = NULL;
	bool removed = false;
	char *link = sys_root_path(r, &a, STATIC);
	int rc = find_source(&x, system, &logical);

	if (rc < 0)
		return rc;
	if (!link)
		return err_set(e, -ENOMEM, "out of memory");
	rc = file_mkdir_p(AT_FDCWD, sys_root_path(r, &a, "/etc"), 0755, e);
	if (rc == 0 &&
	    !(file_readlink(AT_FDCWD, link, &now, &tmp) == 0 && slice_is(str_slice(&now), logical)))
		rc = file_symlink_atomic(AT_FDCWD, logical, link, e);
	if (rc == 0)
		rc = put_dir(&x, "", 0);
	return rc < 0 ? rc : sweep(&x, "", 0, &removed);
}
