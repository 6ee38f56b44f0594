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
#include "system/account-files.h"
#include "system/home.h"
#include "system/ids.h"

#define LIMIT_ACCOUNTS 4096

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
	CONF_KEY("subids", conf_parse_u64, AT(subids), "0", "subordinate numbers", false),
	CONF_KEY("subid-start", conf_parse_u64, AT(subid_start), NULL, "the first of them", false),
};

/* A field of /etc/passwd: no colon, no control byte. */
bool account_field_ok(const char *s)
{
	for (; *s; s++) {
		if (*s == ':' || (unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

bool account_name_ok(struct slice s)
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
	if (!account_name_ok(name))
		return conf_error(c, "not the name of an account");
	if (list->n == LIMIT_ACCOUNTS)
		return conf_error(c, "more than %d accounts", LIMIT_ACCOUNTS);
	*x = (struct account){ .is_user = slice_is(kind, "user"),
			       .name = arena_slice(c->arena, name),
			       .id = ACCOUNTS_ANY,
			       .subid_start = ACCOUNTS_ANY,
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

		if (!account_field_ok(x->comment) || !account_field_ok(x->home) ||
		    !account_field_ok(x->shell) || !account_field_ok(x->password) ||
		    !account_field_ok(x->password_file) || x->home[0] != '/' || x->shell[0] != '/')
			return err_set(e, -ERR_INVALID, "%s: account %s: bad field", file, x->name);
		if (x->id != ACCOUNTS_ANY && x->id > ACCOUNTS_ID_MAX && x->id != 65534)
			return err_set(e, -ERR_INVALID, "%s: account %s: number too large", file,
				       x->name);
		if (x->subids > ACCOUNTS_SUBID_MAX ||
		    (x->subid_start != ACCOUNTS_ANY &&
		     (x->subid_start < ACCOUNTS_SUBID_MIN || x->subid_start > ACCOUNTS_SUBID_MAX)))
			return err_set(e, -ERR_INVALID, "%s: account %s: bad subordinate numbers",
				       file, x->name);
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

const char *account_primary_group(const struct account *x)
{
	return x->group[0] ? x->group : x->name;
}

/* ---- All together ---------------------------------------------------------------------------- */

static const struct account *find(const struct vec *accounts, bool user, const char *name)
{
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (x->is_user == user && strcmp(x->name, name) == 0)
			return x;
	}
	return NULL;
}

int accounts_check(const struct vec *accounts, struct err *e)
{
	for (size_t i = 0; i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (!x->is_user)
			continue;
		if (!find(accounts, false, account_primary_group(x)))
			return err_set(e, -ERR_INVALID, "user %s: there is no group %s", x->name,
				       account_primary_group(x));
		for (size_t k = 0; x->groups[k]; k++) {
			if (!find(accounts, false, x->groups[k]))
				return err_set(e, -ERR_INVALID, "user %s: there is no group %s",
					       x->name, x->groups[k]);
		}
	}
	return 0;
}

static int make_homes(const struct sys_root *r, struct ids *ids, const struct vec *accounts,
		      const char *skeletons, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < accounts->n; i++) {
		const struct account *x = accounts->v[i];

		if (x->is_user && x->create_home)
			rc = home_make(r, ids, x, skeletons, e);
	}
	return rc;
}

static int apply(const struct sys_root *r, struct ids *ids, const struct vec *accounts,
		 const char *skeletons, bool write, struct err *e)
{
	int rc = ids_load(r, ids, e);

	if (rc == 0)
		rc = accounts_check(accounts, e);
	if (rc == 0)
		rc = ids_assign(ids, accounts, e);
	if (rc == 0 && !write)
		rc = account_files_check(r, &ids->a, accounts, e);
	if (rc < 0 || !write)
		return rc;
	rc = file_mkdir_p(AT_FDCWD, sys_root_path(r, &ids->a, "/var/lib/cairn"), 0755, e);
	if (rc == 0 && ids->grown)
		rc = ids_save(r, ids, e);
	if (rc == 0)
		rc = file_mkdir_p(AT_FDCWD, sys_root_path(r, &ids->a, "/etc"), 0755, e);
	if (rc == 0)
		rc = account_files_write(r, ids, accounts, e);
	return rc < 0 ? rc : make_homes(r, ids, accounts, skeletons, e);
}

int accounts_apply(const struct sys_root *r, const struct vec *accounts, const char *skeletons,
		   bool write, struct err *e)
{
	struct ids ids = IDS_INIT;
	int rc = apply(r, &ids, accounts, skeletons, write, e);

	ids_done(&ids);
	return rc;
}

int accounts_homes(const struct sys_root *r, const struct vec *accounts, const char *skeletons,
		   struct err *e)
{
	struct ids ids = IDS_INIT;
	int rc = ids_load(r, &ids, e);

	if (rc == 0)
		rc = accounts_check(accounts, e);
	if (rc == 0)
		rc = ids_assign(&ids, accounts, e);
	if (rc == 0)
		rc = make_homes(r, &ids, accounts, skeletons, e);
	ids_done(&ids);
	return rc;
}
