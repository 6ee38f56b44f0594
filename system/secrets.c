/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/secrets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "lib/str.h"
#include "system/accounts.h"
#include "system/fails.h"
#include "system/generation.h"
#include "system/secret-values.h"

#define LIMIT_SECRET ((size_t)64 << 10)

/* ---- What a generation names ------------------------------------------------------------------
 */

#define AT(f) offsetof(struct secret, f)
static const struct conf_key secret_keys[] = {
	CONF_KEY("source", conf_parse_str, AT(source), NULL, "file that has the value", false),
	CONF_KEY("user", conf_parse_str, AT(user), "root", "owner", false),
	CONF_KEY("group", conf_parse_str, AT(group), "root", "group", false),
	CONF_KEY("mode", conf_parse_u64, AT(mode), "256", "as a decimal number", false),
};

static int secret_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	struct vec *list = arg;
	struct secret *x = ARENA_NEW(c->arena, struct secret);

	if (!slice_is(kind, "secret"))
		return conf_error(c, "unknown section");
	if (name.n == 0 || name.n > 64 || name.p[0] == '.' || memchr(name.p, '/', name.n))
		return conf_error(c, "not the name of a secret");
	if (!x || list->n == LIMIT_SECRETS)
		return conf_error(c, "more than %d secrets", LIMIT_SECRETS);
	*x = (struct secret){ arena_slice(c->arena, name), NULL, "root", "root", 0400 };
	vec_add(list, x);
	c->object = x;
	return 0;
}

int secrets_load(const struct sys_root *r, struct arena *a, const char *system, struct vec *list,
		 struct err *e)
{
	static const struct gen_file what = { "secrets", secret_keys, ARRAY_LEN(secret_keys),
					      secret_section };
	int rc = gen_file_load(r, a, system, &what, list, e);

	for (size_t i = 0; rc == 0 && i < list->n; i++) {
		const struct secret *x = list->v[i];

		if (!x->source || x->source[0] != '/' || (x->mode & ~0770ull))
			rc = err_set(e, -ERR_INVALID, "%s/secrets: secret %s: bad source or mode",
				     system, x->name);
	}
	return rc;
}

/* ---- Values -----------------------------------------------------------------------------------
 */

/* The allocator must not hand it to somebody else. */
void secret_wipe(struct str *s)
{
	if (s->cap)
		explicit_bzero(s->buf, s->cap);
	str_done(s);
}
#define auto_value __attribute__((cleanup(secret_wipe)))

/* Room for the largest value, and for what fd_read_all() asks for behind it: a buffer that grows
 * would leave copies in memory that was given back. */
static int reserve(struct str *value, struct err *e)
{
	return str_room(value, 2 * LIMIT_SECRET) ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* ---- What is kept, and for whom ---------------------------------------------------------------
 */

/* Whoever may need what is kept. */
struct holders {
	struct gen_list l;
	const char *running[2];
};

static int holders_load(const struct sys_root *r, struct arena *a, struct holders *ret,
			struct err *e)
{
	struct holders h = { { NULL, 0, 0 }, { NULL, NULL } };
	int rc = gen_list_load(r, a, &h.l, e);

	if (rc == 0)
		rc = gen_running(r, GEN_CURRENT_LINK, a, &h.running[0], e);
	if (rc == 0)
		rc = gen_running(r, GEN_BOOTED_LINK, a, &h.running[1], e);
	if (rc == 0)
		*ret = h;
	return rc;
}

static bool is_item(const char *path, const char *name)
{
	const char *base = path ? strrchr(path, '/') : NULL;

	return base && strcmp(base + 1, name) == 0;
}

static bool is_needed(const struct holders *h, const char *name)
{
	for (size_t i = 0; i < h->l.n; i++) {
		if (is_item(h->l.v[i].path, name))
			return true;
	}
	return is_item(h->running[0], name) || is_item(h->running[1], name);
}

struct kept {
	const char *dir; /* in arena */
	bool holds;	 /* else it is what a switch that failed left: the files count */
};

/* The directory of a generation: that of its item, as two numbers of one item are the same. */
static int kept_find(const struct sys_root *r, struct arena *a, const char *system,
		     struct kept *ret, struct err *e)
{
	const char *base = strrchr(system, '/');
	const char *name = base ? base + 1 : "-";
	const char *dir = arena_fmt(a, "%s" SECRETS_KEPT "/%s", r->target, name);
	struct err ignored = ERR_INIT;
	struct holders h;

	if (!dir)
		return err_set(e, -ENOMEM, "out of memory");
	/* Where that cannot be told, nothing is overwritten. */
	*ret = (struct kept){ dir, holders_load(r, a, &h, &ignored) < 0 || is_needed(&h, name) };
	return 0;
}

/* A regular file that nobody but its owner, who is root, can read. The message has nothing of it.
 */
static int read_source(const struct sys_root *r, struct arena *a, const struct secret *x,
		       struct str *out, struct err *e)
{
	char *file = sys_root_path(r, a, x->source);
	struct stat st;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	auto_fd int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "secret %s: %s", x->name, file);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) ||
	    (st.st_uid != 0 && st.st_uid != geteuid()))
		return err_hint(
			e, err_set(e, -ERR_INVALID, "secret %s: others may use %s", x->name, file),
			"it must be a file of root, of mode 0600");
	int rc = reserve(out, e);
	if (rc < 0)
		return rc;
	rc = fd_read_all(fd, out, LIMIT_SECRET);
	return rc < 0 ? err_num(e, rc, "secret %s: %s", x->name, file) : 0;
}

/* What is kept, else the file. */
static int read_value(const struct sys_root *r, struct arena *a, const struct kept *k,
		      const struct secret *x, struct str *out, struct err *e)
{
	char *file = arena_fmt(a, "%s/%s", k->dir, x->name);
	struct err tmp = ERR_INIT;
	int rc = file ? reserve(out, e) : err_set(e, -ENOMEM, "out of memory");

	if (rc < 0)
		return rc;
	rc = k->holds ? file_read(AT_FDCWD, file, out, LIMIT_SECRET, &tmp) : -ENOENT;
	if (rc == -ENOENT)
		return read_source(r, a, x, out, e);
	return rc < 0 ? err_set(e, rc, "secret %s: %s", x->name, tmp.msg) : 0;
}

int secrets_check(const struct sys_root *r, const char *system, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec list = VEC_INIT;
	struct kept k;
	int rc = secrets_load(r, &a, system, &list, e);

	if (rc == 0)
		rc = kept_find(r, &a, system, &k, e);
	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		auto_value struct str value = STR_INIT;

		rc = read_value(r, &a, &k, list.v[i], &value, e);
	}
	return rc;
}

int secret_values_load(struct secret_values *x, const struct sys_root *r, const char *system,
		       struct err *e)
{
	auto_vec struct vec list = VEC_INIT;
	struct kept k;
	int rc = secrets_load(r, &x->a, system, &list, e);

	if (rc == 0)
		rc = kept_find(r, &x->a, system, &k, e);
	for (; rc == 0 && x->n < list.n; x->n++) {
		const struct secret *one = list.v[x->n];

		x->names[x->n] = one->name;
		x->v[x->n] = (struct str)STR_INIT;
		rc = read_value(r, &x->a, &k, one, &x->v[x->n], e);
	}
	return rc;
}

void secret_values_done(struct secret_values *x)
{
	while (x->n)
		secret_wipe(&x->v[--x->n]);
	arena_done(&x->a);
}

/* ---- Keeping ----------------------------------------------------------------------------------
 */

static int keep_one(const struct sys_root *r, struct arena *a, const struct kept *k,
		    const struct secret *x, struct err *e)
{
	auto_value struct str value = STR_INIT;
	char *file = arena_fmt(a, "%s/%s", k->dir, x->name);
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	if (k->holds && access(file, F_OK) == 0)
		return 0;
	rc = read_source(r, a, x, &value, e);
	return rc < 0 ? rc : file_write_atomic(AT_FDCWD, file, value.buf, value.len, 0600, e);
}

static int keep_begin(const struct sys_root *r, struct arena *a, const char *system,
		      struct kept *ret, struct err *e)
{
	char *top = sys_root_path(r, a, SECRETS_KEPT);
	int rc = top ? kept_find(r, a, system, ret, e) : err_set(e, -ENOMEM, "out of memory");

	if (rc == 0)
		rc = file_mkdir_p(AT_FDCWD, top, 0700, e);
	return rc == 0 ? file_mkdir_p(AT_FDCWD, ret->dir, 0700, e) : rc;
}

int secrets_keep(const struct sys_root *r, const char *system, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec list = VEC_INIT;
	struct kept k;
	int rc = secrets_load(r, &a, system, &list, e);

	if (rc < 0 || !list.n)
		return rc;
	rc = keep_begin(r, &a, system, &k, e);
	for (size_t i = 0; rc == 0 && i < list.n; i++)
		rc = keep_one(r, &a, &k, list.v[i], e);
	return rc;
}

/* ---- Handing out ------------------------------------------------------------------------------
 */

/* In memory that is never written to swap. */
static int mount_run(const struct sys_root *r, const char *dir, struct err *e)
{
	struct stat st, up;
	char parent[PATH_MAX];
	int rc = file_mkdir_p(AT_FDCWD, dir, 0711, e);

	if (rc < 0 || !sys_root_is_machine(r))
		return rc;
	snprintf(parent, sizeof(parent), "%s/..", dir);
	if (stat(dir, &st) == 0 && stat(parent, &up) == 0 && st.st_dev != up.st_dev)
		return 0;
	if (mount("secrets", dir, "ramfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0711") < 0 &&
	    mount("secrets", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0711") < 0)
		return err_sys(e, "cannot mount %s", dir);
	return 0;
}

/* The owner before the mode, all of it before the name: nobody sees half of it. */
static int hand_out(const struct sys_root *r, int dir, const struct secret *x,
		    const struct str *value, struct err *e)
{
	uint64_t uid = 0, gid = 0, other;
	char temp[80];
	int rc = accounts_user(r, x->user, &uid, &other, e);

	if (rc == 0)
		rc = accounts_group(r, x->group, &gid, e);
	if (rc < 0)
		return err_wrap(e, rc, "secret %s", x->name);
	snprintf(temp, sizeof(temp), ".%s", x->name);
	(void)unlinkat(dir, temp, 0); /* what was cut off; else it is not there */
	auto_fd int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0);
	rc = fd < 0 ? -errno : fd_write_full(fd, value->buf, value->len);
	if (rc == 0 && fchown(fd, (uid_t)uid, (gid_t)gid) < 0 &&
	    (errno != EPERM || sys_root_is_machine(r)))
		rc = -errno;
	if (rc == 0 && fchmod(fd, (mode_t)x->mode) < 0)
		rc = -errno;
	if (rc == 0 && renameat(dir, temp, dir, x->name) < 0)
		rc = -errno;
	return rc < 0 ? err_num(e, rc, "secret %s: %s", x->name, SECRETS_RUN) : 0;
}

static bool is_named(const struct vec *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(((const struct secret *)list->v[i])->name, name) == 0)
			return true;
	}
	return false;
}

static void remove_others(int dir, const struct vec *list)
{
	int own = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;

	if (!d)
		fd_close(&own);
	while (d && (entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    !is_named(list, entry->d_name))
			(void)unlinkat(dir, entry->d_name, 0); /* next time, then */
	}
	if (d)
		closedir(d);
}

static int apply_one(const struct sys_root *r, struct arena *a, const struct kept *k, int dir,
		     const struct secret *x, struct err *e)
{
	auto_value struct str value = STR_INIT;
	int rc = keep_one(r, a, k, x, e);

	if (rc == 0)
		rc = read_value(r, a, k, x, &value, e);
	return rc == 0 ? hand_out(r, dir, x, &value, e) : rc;
}

int secrets_apply(const struct sys_root *r, const char *system, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec list = VEC_INIT;
	struct fails f = FAILS_INIT;
	struct err one = ERR_INIT;
	struct kept k;
	char *run = sys_root_path(r, &a, SECRETS_RUN);
	int rc = secrets_load(r, &a, system, &list, e);

	if (rc < 0)
		return rc;
	if (!run)
		return err_set(e, -ENOMEM, "out of memory");
	if (!list.n && access(run, F_OK) < 0)
		return 0;
	rc = keep_begin(r, &a, system, &k, e);
	if (rc == 0)
		rc = mount_run(r, run, e);
	if (rc < 0)
		return rc;
	auto_fd int dir = open(run, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return err_sys(e, "%s", run);
	for (size_t i = 0; i < list.n; i++)
		fails_note(&f, apply_one(r, &a, &k, dir, list.v[i], &one), &one);
	remove_others(dir, &list);
	return fails_end(&f, e);
}

/* ---- Forgetting -------------------------------------------------------------------------------
 */

int secrets_prune(const struct sys_root *r, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct holders h;
	char *top = sys_root_path(r, &a, SECRETS_KEPT);
	DIR *d = top ? opendir(top) : NULL;
	struct dirent *entry;
	int rc, more = 0;

	if (!d)
		return !top ? err_set(e, -ENOMEM, "out of memory") : 0;
	rc = holders_load(r, &a, &h, e);
	while (rc == 0 && (more = file_next(d, &entry)) > 0) {
		if (entry->d_name[0] != '.' && !is_needed(&h, entry->d_name))
			rc = file_delete_tree(dirfd(d), entry->d_name, NULL, e);
	}
	closedir(d);
	return rc == 0 && more < 0 ? err_num(e, more, "%s", top) : rc;
}
