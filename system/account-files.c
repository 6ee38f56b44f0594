/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/account-files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "lib/str.h"
#include "lib/text.h"

#define LIMIT_PASSWORD_FILE 512
#define SHADOW_KEPT	    "/var/lib/cairn/shadow"

/* ---- Lines ----------------------------------------------------------------------------------- */

static bool in_group(const struct account *user, const char *group)
{
	for (size_t k = 0; user->groups[k]; k++) {
		if (strcmp(user->groups[k], group) == 0)
			return true;
	}
	return false;
}

static void group_line(struct str *out, struct ids *ids, const struct vec *accounts,
		       const struct account *x)
{
	bool first = true;

	str_addf(out, "%s:x:%llu:", x->name,
		 (unsigned long long)ids_find(ids, false, x->name)->number);
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *u = accounts->v[i];

		if (!u->is_user || !in_group(u, x->name))
			continue;
		str_addf(out, "%s%s", first ? "" : ",", u->name);
		first = false;
	}
	str_addc(out, '\n');
}

static void passwd_line(struct str *out, struct ids *ids, const struct account *x)
{
	str_addf(out, "%s:x:%llu:%llu:%s:%s:%s\n", x->name,
		 (unsigned long long)ids_find(ids, true, x->name)->number,
		 (unsigned long long)ids_find(ids, false, account_primary_group(x))->number,
		 x->comment, x->home, x->shell);
}

void account_line(struct str *out, struct ids *ids, const struct vec *accounts,
		  const struct account *x)
{
	if (x->is_user)
		passwd_line(out, ids, x);
	else
		group_line(out, ids, accounts, x);
}

/* The line of name in the present /etc/shadow, without newline; empty: none. */
static struct slice shadow_find(struct slice text, const char *name)
{
	struct slice line, rest = text;

	while (slice_cut(&rest, '\n', &line)) {
		struct slice fields = line, first;

		if (slice_cut(&fields, ':', &first) && first.n < line.n && slice_is(first, name))
			return line;
	}
	return (struct slice){ "", 0 };
}

static int read_shadow(const struct sys_root *r, struct arena *a, const char *path, struct str *ret,
		       struct err *e)
{
	struct err tmp = ERR_INIT;
	char *file = sys_root_path(r, a, path);
	int rc = file ? file_read(AT_FDCWD, file, ret, LIMIT_ACCOUNTS_FILE, &tmp) : -ENOMEM;

	return rc < 0 && rc != -ENOENT ? err_set(e, rc, "%s", tmp.msg) : 0;
}

/* Write root/etc/NAME unless it has these bytes already. */
static int put(const struct sys_root *r, struct arena *a, const char *path, const struct str *text,
	       unsigned mode, struct err *e)
{
	auto_str struct str old = STR_INIT;
	struct err tmp = ERR_INIT;
	struct stat st;
	char *file = sys_root_path(r, a, path);

	if (!file || str_err(text))
		return err_set(e, -ENOMEM, "out of memory");
	if (lstat(file, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == mode &&
	    file_read(AT_FDCWD, file, &old, LIMIT_ACCOUNTS_FILE, &tmp) == 0 &&
	    slice_eq(str_slice(&old), str_slice(text)))
		return 0;
	return file_write_atomic(AT_FDCWD, file, text->buf, text->len, mode, e);
}

/* The first line of a file that nobody else may read. The message has nothing of it. */
static int read_password(const struct sys_root *r, struct arena *a, const struct account *x,
			 struct str *out, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char *file = sys_root_path(r, a, x->password_file);
	struct slice rest, line = { NULL, 0 };
	struct stat st;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	auto_fd int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "password of %s: %s", x->name, file);
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077))
		return err_hint(e,
				err_set(e, -ERR_INVALID, "password of %s: others may use %s",
					x->name, file),
				"it must be a file of mode 0600");
	int rc = fd_read_all(fd, &text, LIMIT_PASSWORD_FILE);
	if (rc < 0)
		return err_num(e, rc, "password of %s: %s", x->name, file);
	rest = str_slice(&text);
	(void)slice_cut(&rest, '\n', &line);
	char *word = arena_slice(a, slice_trim(line));
	if (!word)
		return err_set(e, -ENOMEM, "out of memory");
	if (word[0] != '$' || !account_field_ok(word) || strlen(word) != slice_trim(line).n)
		return err_set(e, -ERR_INVALID,
			       "password of %s: %s does not begin with the output of crypt(3)",
			       x->name, file);
	str_add(out, word);
	return 0;
}

static void first_line(const struct sys_root *r, struct arena *a, const struct account *x,
		       struct str *out)
{
	auto_str struct str password = STR_INIT;
	struct err ignored = ERR_INIT;

	if (!*x->password_file || read_password(r, a, x, &password, &ignored) < 0)
		str_add(&password, x->password); /* "!" beside a file: locked */
	if (password.err)
		out->err = password.err;
	str_addf(out, "%s:%s:1::::::", x->name, password.buf);
}

/* Files of passwords that will be needed. */
int account_files_check(const struct sys_root *r, struct arena *a, const struct vec *accounts,
			struct err *e)
{
	auto_str struct str old = STR_INIT, kept = STR_INIT, password = STR_INIT;
	int rc = read_shadow(r, a, "/etc/shadow", &old, e);

	if (rc == 0)
		rc = read_shadow(r, a, SHADOW_KEPT, &kept, e);

	for (size_t i = 0; rc == 0 && i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (x->is_user && *x->password_file && !shadow_find(str_slice(&old), x->name).n &&
		    !shadow_find(str_slice(&kept), x->name).n)
			rc = read_password(r, a, x, &password, e);
	}
	return rc;
}

/* ---- Writing --------------------------------------------------------------------------------- */

struct texts {
	struct str group, passwd, shadow, subuid, subgid, kept;
};

static void texts_done(struct texts *t)
{
	str_done(&t->group);
	str_done(&t->passwd);
	str_done(&t->shadow);
	str_done(&t->subuid);
	str_done(&t->subgid);
	str_done(&t->kept);
}

static void subid_line(struct str *out, struct ids *ids, const struct account *x)
{
	const struct subids *s = ids_find_subids(ids, x->name);

	str_addf(out, "%s:%llu:%llu\n", x->name, (unsigned long long)s->start,
		 (unsigned long long)x->subids);
}

static void user_lines(const struct sys_root *r, struct ids *ids, const struct account *x,
		       struct slice old, struct slice kept, struct texts *t)
{
	struct slice line = shadow_find(old, x->name);

	account_line(&t->passwd, ids, NULL, x);
	/* Who was gone and is back has the password from then. */
	if (!line.n)
		line = shadow_find(kept, x->name);
	if (line.n)
		str_adds(&t->shadow, line);
	else
		first_line(r, &ids->a, x, &t->shadow);
	str_addc(&t->shadow, '\n');
	if (x->subids) {
		subid_line(&t->subuid, ids, x);
		subid_line(&t->subgid, ids, x);
	}
}

static bool is_declared(const struct vec *accounts, struct slice name)
{
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (x->is_user && slice_is(name, x->name))
			return true;
	}
	return false;
}

/* Lines of people who are in text, but not in accounts nor in out, and have a password. */
static void keep_lines(struct slice text, struct arena *a, const struct vec *accounts,
		       struct str *out)
{
	struct slice line, rest = text;

	while (slice_cut(&rest, '\n', &line)) {
		struct slice fields = line, name, password;

		if (!slice_cut(&fields, ':', &name) || !slice_cut(&fields, ':', &password) ||
		    !account_name_ok(name) || is_declared(accounts, name))
			continue;
		if (slice_is(password, "!") || slice_is(password, "*"))
			continue;
		if (shadow_find(str_slice(out), arena_slice(a, name)).n)
			continue;
		str_adds(out, line);
		str_addc(out, '\n');
	}
}

/* group and shadow before passwd: a name that can be looked up is complete. What is kept of people
 * who are gone comes before their line goes. */
static int put_all(const struct sys_root *r, struct arena *a, const struct texts *t, struct err *e)
{
	const struct {
		const char *path;
		const struct str *text;
		unsigned mode;
		bool always;
	} files[] = {
		{ SHADOW_KEPT, &t->kept, 0600, false },
		{ "/etc/group", &t->group, 0644, true },
		{ "/etc/subuid", &t->subuid, 0644, false },
		{ "/etc/subgid", &t->subgid, 0644, false },
		{ "/etc/shadow", &t->shadow, 0600, true },
		{ "/etc/passwd", &t->passwd, 0644, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const char *path = sys_root_path(r, a, files[i].path);
		struct stat st;
		int rc;

		if (!path)
			return err_set(e, -ENOMEM, "out of memory");
		/* Nothing to say, and nothing that says otherwise. */
		if (!files[i].always && !files[i].text->len && lstat(path, &st) < 0)
			continue;
		rc = put(r, a, files[i].path, files[i].text, files[i].mode, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int write_texts(const struct sys_root *r, struct ids *ids, const struct vec *accounts,
		       struct texts *t, struct err *e)
{
	auto_str struct str old = STR_INIT, kept = STR_INIT;
	int rc = read_shadow(r, &ids->a, "/etc/shadow", &old, e);

	if (rc == 0)
		rc = read_shadow(r, &ids->a, SHADOW_KEPT, &kept, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (x->is_user)
			user_lines(r, ids, x, str_slice(&old), str_slice(&kept), t);
		else
			account_line(&t->group, ids, accounts, x);
	}
	keep_lines(str_slice(&old), &ids->a, accounts, &t->kept);
	keep_lines(str_slice(&kept), &ids->a, accounts, &t->kept);
	return put_all(r, &ids->a, t, e);
}

int account_files_write(const struct sys_root *r, struct ids *ids, const struct vec *accounts,
			struct err *e)
{
	struct texts t = { STR_INIT, STR_INIT, STR_INIT, STR_INIT, STR_INIT, STR_INIT };
	int rc = write_texts(r, ids, accounts, &t, e);

	texts_done(&t);
	return rc;
}

/* ---- Looking up ------------------------------------------------------------------------------ */

/* Third and fourth field of NAME's line in root PATH, which has the form of /etc/passwd. */
static int look_up(const struct sys_root *r, const char *path, const char *name, uint64_t *ret,
		   uint64_t *ret_fourth, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str text = STR_INIT;
	char *file = sys_root_path(r, &a, path);
	struct slice line, field, number, fourth;
	int rc = file ? file_read(AT_FDCWD, file, &text, LIMIT_ACCOUNTS_FILE, e)
		      : err_set(e, -ENOMEM, "out of memory");

	if (rc < 0)
		return rc;
	line = shadow_find(str_slice(&text), name);
	if (line.n == 0)
		return err_set(e, -ERR_NOTFOUND, "%s: there is no %s", file, name);
	if (!slice_cut(&line, ':', &field) || !slice_cut(&line, ':', &field) ||
	    !slice_cut(&line, ':', &number) || text_u64(number, UINT32_MAX, ret) < 0)
		return err_set(e, -ERR_INVALID, "%s: bad line of %s", file, name);
	if (ret_fourth &&
	    (!slice_cut(&line, ':', &fourth) || text_u64(fourth, UINT32_MAX, ret_fourth) < 0))
		return err_set(e, -ERR_INVALID, "%s: bad line of %s", file, name);
	return 0;
}

int accounts_user(const struct sys_root *r, const char *name, uint64_t *ret_uid, uint64_t *ret_gid,
		  struct err *e)
{
	return look_up(r, "/etc/passwd", name, ret_uid, ret_gid, e);
}

int accounts_group(const struct sys_root *r, const char *name, uint64_t *ret, struct err *e)
{
	return look_up(r, "/etc/group", name, ret, NULL, e);
}
