/* SPDX-License-Identifier: GPL-3.0-or-later */
/* That no value of a secret is in the store. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "store/store.h"
#include "system/secret-values.h"
#include "system/secrets.h"

#define LEAST_LOOKED_FOR 8

struct scan {
	const struct secret_values *values;
	const char *item, *found; /* borrowed from values, when one was found */
};

/* Without the newline at the end that editors leave. */
static struct slice looked_for(const struct str *value)
{
	struct slice s = str_slice(value);

	while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

static void look_at(struct scan *x, struct slice text)
{
	for (size_t i = 0; i < x->values->n && !x->found; i++) {
		struct slice v = looked_for(&x->values->v[i]);

		if (v.n >= LEAST_LOOKED_FOR && text.n >= v.n && memmem(text.p, text.n, v.p, v.n))
			x->found = x->values->names[i];
	}
}

static int scan_file(struct scan *x, int dir, const char *name, struct err *e)
{
	auto_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", x->item);
	if (!st.st_size)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, "%s", x->item);
	look_at(x, (struct slice){ p, (size_t)st.st_size });
	munmap(p, (size_t)st.st_size);
	return 0;
}

static int scan_at(struct scan *x, int dir, const char *name, unsigned depth, struct err *e);

static int scan_dir(struct scan *x, int dir, const char *name, unsigned depth, struct err *e)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), rc = 0,
	    more = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d) {
		rc = err_sys(e, "%s", x->item);
		fd_close(&fd);
		return rc;
	}
	while (rc == 0 && !x->found && (more = file_next(d, &entry)) > 0) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = scan_at(x, dirfd(d), entry->d_name, depth + 1, e);
	}
	closedir(d);
	return rc == 0 && more < 0 ? err_num(e, more, "%s", x->item) : rc;
}

/* Contents of files, targets of links, names. */
static int scan_at(struct scan *x, int dir, const char *name, unsigned depth, struct err *e)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "%s", x->item);
	look_at(x, slice_of(name));
	if (S_ISREG(st.st_mode))
		return scan_file(x, dir, name, e);
	if (S_ISDIR(st.st_mode))
		return depth < PATH_MAX / 2 ? scan_dir(x, dir, name, depth, e) : 0;
	n = readlinkat(dir, name, target, sizeof(target));
	if (n > 0)
		look_at(x, (struct slice){ target, (size_t)n });
	return 0;
}

/* Items of the closure of system that are not in that of from; sorted, as both are. */
static int new_items(struct store_conn *conn, struct arena *a, const char *from, const char *system,
		     struct vec *ret, struct err *e)
{
	auto_vec struct vec now = VEC_INIT, before = VEC_INIT;
	bool known = false;
	size_t k = 0;
	int rc = store_closure(conn, a, &system, 1, &now, e);

	if (rc == 0 && from)
		rc = store_is_valid(conn, from, &known, e);
	if (rc == 0 && known)
		rc = store_closure(conn, a, &from, 1, &before, e);
	for (size_t i = 0; rc == 0 && i < now.n; i++) {
		while (k < before.n && strcmp(before.v[k], now.v[i]) < 0)
			k++;
		if (k == before.n || strcmp(before.v[k], now.v[i]) != 0)
			vec_add(ret, now.v[i]);
	}
	return rc == 0 && ret->err ? err_set(e, -ENOMEM, "out of memory") : rc;
}

static int refuse(const struct scan *x, struct err *e)
{
	return err_hint(e,
			err_set(e, -ERR_INVALID,
				"%s has the value of the secret %s, and everybody can read it",
				x->item, x->found),
			"the configuration may only name it: " SECRETS_RUN "/NAME");
}

static int scan_items(struct scan *x, struct store_conn *conn, struct arena *a,
		      const struct vec *items, struct err *e)
{
	for (size_t i = 0; i < items->n; i++) {
		const char *path = store_conn_physical(conn, a, items->v[i]);
		int rc;

		if (!path)
			return err_set(e, -ENOMEM, "out of memory");
		x->item = items->v[i];
		rc = scan_at(x, AT_FDCWD, path, 0, e);
		if (rc < 0)
			return rc;
		if (x->found)
			return refuse(x, e);
	}
	return 0;
}

int secrets_scan_text(const struct sys_root *r, const char *system, struct slice text,
		      struct err *e)
{
	struct secret_values v = SECRET_VALUES_INIT;
	struct scan x = { &v, "the configuration", NULL };
	int rc = secret_values_load(&v, r, system, e);

	if (rc == 0)
		look_at(&x, text);
	if (rc == 0 && x.found)
		rc = refuse(&x, e);
	secret_values_done(&v);
	return rc;
}

int secrets_scan(const struct sys_root *r, struct store_conn *conn, const char *from,
		 const char *system, struct err *e)
{
	struct secret_values v = SECRET_VALUES_INIT;
	auto_vec struct vec items = VEC_INIT;
	struct scan x = { &v, NULL, NULL };
	int rc = secret_values_load(&v, r, system, e);

	if (rc == 0 && v.n)
		rc = new_items(conn, &v.a, from, system, &items, e);
	if (rc == 0)
		rc = scan_items(&x, conn, &v.a, &items, e);
	secret_values_done(&v);
	return rc;
}
