/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/conf.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "lib/str.h"
#include "lib/tab.h"
#include "lib/text.h"

#define LIMIT_ACCOUNTS_FILE (1 << 20)
#define LIMIT_PASSWORD_FILE 512
#define LIMIT_ACCOUNTS	    4096

/* ---- The file of the generation -------------------------------------------------------------- */

#define AT(f) offsetof(struct account, f)
static const struct conf_key account_keys[] = {
	CONF_KEY("id", conf_parse_u64, AT(id), NULL, "fixed number", false),
	CONF_KEY("system", conf_parse_bool, AT(system), "no", "account of a program", false),
	CONF_KEY("group", conf_parse_str, AT(group), NULL, "primary group", false),
	CONF_KEY("groups", conf_parse_words, AT(groups), "", "supplementary groups", false),
	CONF_KEY("comment", conf_parse_str, AT(comment), "", "name for people", false),
	CONF_KEY("home", conf_parse_str, AT(home), "/", "home directory", false),
	CONF_KEY("shell", conf_parse_str, AT(shell), "/bin/sh", "login shell", false),
	CONF_KEY("password", conf_parse_str, AT(password), "!", "first password, crypt(3)", false),
	CONF_KEY("password-file", conf_parse_str, AT(password_file), "", "file that has it", false),
	CONF_KEY("create-home", conf_parse_bool, AT(create_home), "no", "make the home", false),
};

/* A field of /etc/passwd: no colon, no control byte. */
static bool field_ok(const char *s)
{
	for (; *s; s++) {
		if (*s == ':' || (unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

static bool name_ok(struct slice s)
{
	if (s.n == 0 || s.n > 32)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || c == '_';
		bool later = (c >= '0' && c <= '9') || c == '-' || (c >= 'A' && c <= 'Z');

		if (!letter && !(i > 0 && later))
			return false;
	}
	return true;
}

static int account_section(void *arg, struct conf_ctx *c, struct slice kind, struct slice name)
{
	static const char *const none[] = { NULL };
	struct vec *list = arg;
	struct account *x = ARENA_NEW(c->arena, struct account);

	if (!x)
		return err_set(c->err, -ENOMEM, "out of memory");
	if (!slice_is(kind, "user") && !slice_is(kind, "group"))
		return conf_error(c, "unknown section");
	if (!name_ok(name))
		return conf_error(c, "not the name of an account");
	if (list->n == LIMIT_ACCOUNTS)
		return conf_error(c, "more than %d accounts", LIMIT_ACCOUNTS);
	*x = (struct account){ .is_user = slice_is(kind, "user"),
			       .name = arena_slice(c->arena, name),
			       .id = ACCOUNTS_ANY,
			       .group = "",
			       .groups = none,
			       .comment = "",
			       .home = "/",
			       .shell = "/bin/sh",
			       .password = "!",
			       .password_file = "" };
	vec_add(list, x);
	c->object = x;
	return 0;
}

int accounts_parse(struct arena *a, struct slice text, const char *file, struct vec *ret,
		   struct err *e)
{
	int rc = conf_parse(text, file, account_keys, ARRAY_LEN(account_keys), account_section, ret,
			    a, e);

	if (rc < 0)
		return rc;
	if (ret->err)
		return err_set(e, ret->err, "out of memory");
	for (size_t i = 0; i < ret->n; i++) {
		const struct account *x = ret->v[i];

		if (!field_ok(x->comment) || !field_ok(x->home) || !field_ok(x->shell) ||
		    !field_ok(x->password) || !field_ok(x->password_file) || x->home[0] != '/' ||
		    x->shell[0] != '/')
			return err_set(e, -ERR_INVALID, "%s: account %s: bad field", file, x->name);
		if (x->id != ACCOUNTS_ANY && x->id > ACCOUNTS_ID_MAX && x->id != 65534)
			return err_set(e, -ERR_INVALID, "%s: account %s: number too large", file,
				       x->name);
	}
	return 0;
}

int accounts_load(const struct sys_root *r, struct arena *a, const char *system, struct vec *ret,
		  struct err *e)
{
	auto_str struct str text = STR_INIT;
	char *file = arena_fmt(a, "%s%s/accounts", r->store, system);
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	rc = file_read(AT_FDCWD, file, &text, LIMIT_ACCOUNTS_FILE, e);
	return rc < 0 ? rc : accounts_parse(a, str_slice(&text), file, ret, e);
}

/* ---- Names to numbers ------------------------------------------------------------------------ */

struct id {
	bool is_user;
	const char *name;
	uint64_t number;
};

struct ids {
	struct arena a;
	struct vec list;	   /* struct id, in the order they were given */
	struct tab names, numbers; /* "u:NAME", "u:NUMBER" -> struct id */
	bool grown;
};

static void ids_done(struct ids *ids)
{
	vec_done(&ids->list);
	tab_done(&ids->names);
	tab_done(&ids->numbers);
	arena_done(&ids->a);
}

static struct id *ids_find(struct ids *ids, bool user, const char *name)
{
	char *key = arena_fmt(&ids->a, "%c:%s", user ? 'u' : 'g', name);

	return key ? tab_find(&ids->names, slice_of(key)) : NULL;
}

static struct id *ids_owner(struct ids *ids, bool user, uint64_t number)
{
	char *key = arena_fmt(&ids->a, "%c:%llu", user ? 'u' : 'g', (unsigned long long)number);

	return key ? tab_find(&ids->numbers, slice_of(key)) : NULL;
}

static int ids_add(struct ids *ids, bool user, const char *name, uint64_t number, struct err *e)
{
	struct id *x = ARENA_NEW(&ids->a, struct id);
	char *by_name = arena_fmt(&ids->a, "%c:%s", user ? 'u' : 'g', name);
	char *by_number =
		arena_fmt(&ids->a, "%c:%llu", user ? 'u' : 'g', (unsigned long long)number);
	void **a, **b;

	if (!x || !by_name || !by_number)
		return err_set(e, -ENOMEM, "out of memory");
	a = tab_put(&ids->names, slice_of(by_name), NULL);
	b = tab_put(&ids->numbers, slice_of(by_number), NULL);
	if (!a || !b)
		return err_set(e, -ENOMEM, "out of memory");
	*x = (struct id){ user, arena_str(&ids->a, name), number };
	*a = *b = x;
	vec_add(&ids->list, x);
	return ids->list.err || arena_err(&ids->a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* One line of the map: "user NAME NUMBER" or "group NAME NUMBER". */
static int ids_line(struct ids *ids, struct slice line, struct err *e)
{
	struct slice kind, name, rest = line;
	uint64_t number;

	if (line.n == 0 || line.p[0] == '#')
		return 0;
	if (!slice_cut(&rest, ' ', &kind) || !slice_cut(&rest, ' ', &name) ||
	    text_u64(rest, 65534, &number) < 0 || !name_ok(name) ||
	    (!slice_is(kind, "user") && !slice_is(kind, "group")))
		return err_set(e, -ERR_SYNTAX, "not a line of the map of account numbers: %.*s",
			       (int)MIN_OF(line.n, 60), line.p);
	return ids_add(ids, slice_is(kind, "user"), arena_slice(&ids->a, name), number, e);
}

static int ids_load(const struct sys_root *r, struct ids *ids, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	struct slice rest, line;
	char *file = sys_root_path(r, &ids->a, ACCOUNTS_MAP);
	int rc;

	if (!file)
		return err_set(e, -ENOMEM, "out of memory");
	rc = file_read(AT_FDCWD, file, &text, LIMIT_ACCOUNTS_FILE, &tmp);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return err_set(e, rc, "%s", tmp.msg);
	rest = str_slice(&text);
	while (slice_cut(&rest, '\n', &line)) {
		rc = ids_line(ids, line, e);
		if (rc < 0)
			return err_wrap(e, rc, "%s", file);
	}
	return 0;
}

static int ids_save(const struct sys_root *r, struct ids *ids, struct err *e)
{
	auto_str struct str text = STR_INIT;
	char *file = sys_root_path(r, &ids->a, ACCOUNTS_MAP);

	str_add(&text, "# Numbers of accounts, for ever: lines are only added.\n");
	for (size_t i = 0; i < ids->list.n; i++) {
		const struct id *x = ids->list.v[i];

		str_addf(&text, "%s %s %llu\n", x->is_user ? "user" : "group", x->name,
			 (unsigned long long)x->number);
	}
	if (!file || str_err(&text))
		return err_set(e, -ENOMEM, "out of memory");
	return file_write_atomic(AT_FDCWD, file, text.buf, text.len, 0644, e);
}

/* Lowest free number of the range that fits; a user prefers the number of the group of its name. */
static int ids_allocate(struct ids *ids, const struct account *x, uint64_t *ret, struct err *e)
{
	uint64_t low = x->system ? ACCOUNTS_SYS_MIN : ACCOUNTS_USER_MIN;
	uint64_t high = x->system ? ACCOUNTS_USER_MIN - 1 : ACCOUNTS_USER_MAX;
	struct id *twin = ids_find(ids, !x->is_user, x->name);

	if (twin && twin->number >= low && twin->number <= high &&
	    !ids_owner(ids, x->is_user, twin->number)) {
		*ret = twin->number;
		return 0;
	}
	for (uint64_t n = low; n <= high; n++) {
		/* Free on both sides, so that users and their groups stay in step. */
		if (!ids_owner(ids, true, n) && !ids_owner(ids, false, n)) {
			*ret = n;
			return 0;
		}
	}
	return err_set(e, -ERR_LIMIT, "no number left for account %s", x->name);
}

static int ids_assign_fixed(struct ids *ids, const struct account *x, struct err *e)
{
	const char *kind = x->is_user ? "user" : "group";
	struct id *known = ids_find(ids, x->is_user, x->name);
	struct id *owner = ids_owner(ids, x->is_user, x->id);

	if (known && known->number != x->id)
		return err_set(e, -ERR_INVALID,
			       "%s %s has number %llu on this machine, not %llu [numbers never "
			       "change: leave the number out, or give a new name]",
			       kind, x->name, (unsigned long long)known->number,
			       (unsigned long long)x->id);
	if (owner && owner != known)
		return err_set(e, -ERR_INVALID,
			       "%s %s cannot have number %llu: it belongs to %s [numbers are never "
			       "given twice]",
			       kind, x->name, (unsigned long long)x->id, owner->name);
	if (known)
		return 0;
	ids->grown = true;
	return ids_add(ids, x->is_user, x->name, x->id, e);
}

/* Fixed numbers first, so that none of them is allocated to another name. */
static int ids_assign(struct ids *ids, const struct vec *accounts, struct err *e)
{
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];
		int rc = x->id == ACCOUNTS_ANY ? 0 : ids_assign_fixed(ids, x, e);

		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];
		uint64_t number = 0;
		int rc;

		if (x->id != ACCOUNTS_ANY || ids_find(ids, x->is_user, x->name))
			continue;
		rc = ids_allocate(ids, x, &number, e);
		if (rc == 0)
			rc = ids_add(ids, x->is_user, x->name, number, e);
		if (rc < 0)
			return rc;
		ids->grown = true;
	}
	return 0;
}

/* ---- The three files ------------------------------------------------------------------------- */

static const struct account *find(const struct vec *accounts, bool user, const char *name)
{
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (x->is_user == user && strcmp(x->name, name) == 0)
			return x;
	}
	return NULL;
}

static const char *primary_group(const struct account *x)
{
	return x->group[0] ? x->group : x->name;
}

static int check_groups(const struct vec *accounts, struct err *e)
{
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (!x->is_user)
			continue;
		if (!find(accounts, false, primary_group(x)))
			return err_set(e, -ERR_INVALID, "user %s: there is no group %s", x->name,
				       primary_group(x));
		for (size_t k = 0; x->groups[k]; k++) {
			if (!find(accounts, false, x->groups[k]))
				return err_set(e, -ERR_INVALID, "user %s: there is no group %s",
					       x->name, x->groups[k]);
		}
	}
	return 0;
}

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
		 (unsigned long long)ids_find(ids, false, primary_group(x))->number, x->comment,
		 x->home, x->shell);
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

static int read_shadow(const struct sys_root *r, struct arena *a, struct str *ret, struct err *e)
{
	struct err tmp = ERR_INIT;
	char *file = sys_root_path(r, a, "/etc/shadow");
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
	if (word[0] != '$' || !field_ok(word) || strlen(word) != slice_trim(line).n)
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
static int check_passwords(const struct sys_root *r, struct arena *a, const struct vec *accounts,
			   struct err *e)
{
	auto_str struct str old = STR_INIT, password = STR_INIT;
	int rc = read_shadow(r, a, &old, e);

	for (size_t i = 0; rc == 0 && i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (x->is_user && *x->password_file && !shadow_find(str_slice(&old), x->name).n)
			rc = read_password(r, a, x, &password, e);
	}
	return rc;
}

/* group and shadow before passwd: a name that can be looked up is complete. */
static int write_files(const struct sys_root *r, struct ids *ids, const struct vec *accounts,
		       struct err *e)
{
	auto_str struct str group = STR_INIT, passwd = STR_INIT, shadow = STR_INIT, old = STR_INIT;
	int rc = read_shadow(r, &ids->a, &old, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];
		struct slice line;

		if (!x->is_user) {
			group_line(&group, ids, accounts, x);
			continue;
		}
		passwd_line(&passwd, ids, x);
		line = shadow_find(str_slice(&old), x->name);
		if (line.n)
			str_adds(&shadow, line);
		else
			first_line(r, &ids->a, x, &shadow);
		str_addc(&shadow, '\n');
	}
	rc = put(r, &ids->a, "/etc/group", &group, 0644, e);
	if (rc == 0)
		rc = put(r, &ids->a, "/etc/shadow", &shadow, 0600, e);
	return rc < 0 ? rc : put(r, &ids->a, "/etc/passwd", &passwd, 0644, e);
}

/* A home that is there is left as it is. */
static int make_home(const struct sys_root *r, struct ids *ids, const struct account *x,
		     struct err *e)
{
	char *home = sys_root_path(r, &ids->a, x->home);
	char dir[PATH_MAX];
	uid_t uid = (uid_t)ids_find(ids, true, x->name)->number;
	gid_t gid = (gid_t)ids_find(ids, false, primary_group(x))->number;
	int rc;

	if (!home)
		return err_set(e, -ENOMEM, "out of memory");
	if (access(home, F_OK) == 0)
		return 0;
	rc = path_dir(dir, home);
	rc = rc < 0 ? err_num(e, rc, "%s", home) : file_mkdir_p(AT_FDCWD, dir, 0755, e);
	if (rc < 0)
		return rc;
	if (mkdir(home, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "%s", home);
	/* Without privilege (a scratch root of an ordinary user) it stays the user's. */
	if (lchown(home, uid, gid) < 0 && errno != EPERM && errno != EINVAL)
		return err_sys(e, "%s", home);
	return 0;
}

static int apply(const struct sys_root *r, struct ids *ids, const struct vec *accounts, bool write,
		 struct err *e)
{
	int rc = ids_load(r, ids, e);

	if (rc == 0)
		rc = check_groups(accounts, e);
	if (rc == 0)
		rc = ids_assign(ids, accounts, e);
	if (rc == 0 && !write)
		rc = check_passwords(r, &ids->a, accounts, e);
	if (rc < 0 || !write)
		return rc;
	if (ids->grown) {
		rc = file_mkdir_p(AT_FDCWD, sys_root_path(r, &ids->a, "/var/lib/cairn"), 0755, e);
		if (rc == 0)
			rc = ids_save(r, ids, e);
	}
	if (rc == 0)
		rc = file_mkdir_p(AT_FDCWD, sys_root_path(r, &ids->a, "/etc"), 0755, e);
	if (rc == 0)
		rc = write_files(r, ids, accounts, e);
	for (size_t i = 0; rc == 0 && i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (x->is_user && x->create_home)
			rc = make_home(r, ids, x, e);
	}
	return rc;
}

int accounts_apply(const struct sys_root *r, const struct vec *accounts, bool write, struct err *e)
{
	struct ids ids = { ARENA_INIT, VEC_INIT, TAB_INIT, TAB_INIT, false };
	int rc = apply(r, &ids, accounts, write, e);

	ids_done(&ids);
	return rc;
}

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
