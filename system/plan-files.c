/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of a plan is lists in the two systems: packages, files of /etc, accounts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "system/accounts.h"
#include "system/planner.h"

#define LIMIT_ETC_DEPTH 16

/* ---- Packages -------------------------------------------------------------------------------- */

struct package {
	const char *name, *version, *path;
	bool seen;
};

/* "package NAME VERSION PATH" lines into a table by name; the kernel line is not a package. */
static int read_packages(struct planner *p, const struct plan_side *side, struct tab *t,
			 struct vec *names)
{
	struct slice text, line, kind, name, version;
	int rc = planner_read(p, side, NULL, "packages", &text);

	while (rc == 0 && slice_cut(&text, '\n', &line)) {
		struct package *x = ARENA_NEW(p->a, struct package);
		void **slot;

		if (!slice_cut(&line, ' ', &kind) || !slice_is(kind, "package") ||
		    !slice_cut(&line, ' ', &name) || !slice_cut(&line, ' ', &version) || !line.p)
			continue;
		if (!x)
			return planner_no_memory(p);
		*x = (struct package){ arena_slice(p->a, name),
				       slice_is(version, "-") ? "" : arena_slice(p->a, version),
				       arena_slice(p->a, line), false };
		slot = x->name ? tab_put(t, slice_of(x->name), NULL) : NULL;
		if (!slot)
			return planner_no_memory(p);
		*slot = x;
		vec_add(names, (void *)x->name);
	}
	return rc;
}

static int compare_package(struct planner *p, const struct package *o, const struct package *n)
{
	if (!o)
		return planner_add(
			p, &p->plan->packages,
			(struct plan_item){ PLAN_ADDED, n->name, "", n->version, n->path, 0 });
	if (!n)
		return planner_add(
			p, &p->plan->packages,
			(struct plan_item){ PLAN_REMOVED, o->name, o->version, "", o->path, 0 });
	if (strcmp(o->path, n->path) != 0)
		return planner_add(p, &p->plan->packages,
				   (struct plan_item){ PLAN_CHANGED, n->name, o->version,
						       n->version, n->path, 0 });
	return 0;
}

int planner_packages(struct planner *p)
{
	auto_tab struct tab old = TAB_INIT, new = TAB_INIT;
	auto_vec struct vec names = VEC_INIT;
	int rc = read_packages(p, &p->from, &old, &names);

	if (rc == 0)
		rc = read_packages(p, &p->to, &new, &names);
	vec_sort_str(&names);
	vec_uniq_str(&names);
	if (names.err)
		return planner_no_memory(p);
	for (size_t i = 0; rc == 0 && i < names.n; i++)
		rc = compare_package(p, tab_find(&old, slice_of(names.v[i])),
				     tab_find(&new, slice_of(names.v[i])));
	return rc;
}

/* ---- /etc ------------------------------------------------------------------------------------ */

static int etc_names(struct planner *p, const char *dir, const char *rel, unsigned depth,
		     struct vec *names)
{
	char *path = arena_fmt(p->a, "%s%s%s", dir, rel[0] ? "/" : "", rel);
	DIR *d = path ? opendir(path) : NULL;
	struct dirent *x;
	int rc = 0, more = 0;

	if (!d)
		return err_sys(p->e, "%s/%s", dir, rel);
	while (rc == 0 && (more = file_next(d, &x)) > 0) {
		char *inner;
		struct stat st;

		if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
			continue;
		inner = arena_fmt(p->a, "%s%s%s", rel, rel[0] ? "/" : "", x->d_name);
		if (!inner)
			rc = planner_no_memory(p);
		else if (fstatat(dirfd(d), x->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			rc = err_sys(p->e, "%s/%s", dir, inner);
		else if (S_ISDIR(st.st_mode) && depth < LIMIT_ETC_DEPTH)
			rc = etc_names(p, dir, inner, depth + 1, names);
		else
			vec_add(names, inner);
	}
	closedir(d);
	return rc == 0 && more < 0 ? err_num(p->e, more, "%s/%s", dir, rel) : rc;
}

/* Target of a link, or contents of a file; empty when it is missing. */
static void etc_read(const char *dir, const char *rel, struct str *out)
{
	char path[PATH_MAX];
	struct err tmp = ERR_INIT;

	if (snprintf(path, sizeof(path), "%s/%s", dir, rel) >= (int)sizeof(path))
		return;
	if (file_readlink(AT_FDCWD, path, out, &tmp) < 0)
		(void)file_read(AT_FDCWD, path, out, LIMIT_PLAN_FILE, &tmp);
}

static int compare_etc(struct planner *p, const char *old, const char *new, const char *rel,
		       bool was, bool is)
{
	auto_str struct str x = STR_INIT, y = STR_INIT;

	if (was && is) {
		etc_read(old, rel, &x);
		etc_read(new, rel, &y);
		if (slice_eq(str_slice(&x), str_slice(&y)))
			return 0;
	}
	return planner_add(p, &p->plan->etc,
			   (struct plan_item){ !was ? PLAN_ADDED
					       : is ? PLAN_CHANGED
						    : PLAN_REMOVED,
					       rel, "", "", NULL, 0 });
}

int planner_etc(struct planner *p)
{
	auto_vec struct vec old = VEC_INIT, new = VEC_INIT, all = VEC_INIT;
	char *from = NULL, *to = planner_part(p, &p->to, "etc");
	int rc = to ? planner_before(p, "etc", "", &from) : planner_no_memory(p);

	if (rc < 0 || !from || strcmp(from, to) == 0)
		return rc;
	rc = etc_names(p, from, "", 0, &old);
	if (rc == 0)
		rc = etc_names(p, to, "", 0, &new);
	vec_sort_str(&old);
	vec_sort_str(&new);
	for (size_t i = 0; i < old.n; i++)
		vec_add(&all, old.v[i]);
	for (size_t i = 0; i < new.n; i++)
		vec_add(&all, new.v[i]);
	vec_sort_str(&all);
	vec_uniq_str(&all);
	if (all.err || old.err || new.err)
		return planner_no_memory(p);
	for (size_t i = 0; rc == 0 && i < all.n; i++)
		rc = compare_etc(p, from, to, all.v[i], vec_has_str(&old, all.v[i]),
				 vec_has_str(&new, all.v[i]));
	return rc;
}

/* ---- Accounts -------------------------------------------------------------------------------- */

static int account_order(const void *a, const void *b)
{
	const struct account *x = *(const struct account *const *)a;
	const struct account *y = *(const struct account *const *)b;

	return strcmp(x->name, y->name);
}

static int read_accounts(struct planner *p, const struct plan_side *side, struct vec *list)
{
	int rc = side->system ? accounts_load(&side->root, p->a, side->system, list, p->e) : 0;

	if (rc == 0 && list->n)
		qsort(list->v, list->n, sizeof(void *), account_order);
	return rc;
}

static const struct account *find_account(const struct vec *list, const struct account *like)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct account *x = list->v[i];

		if (x->is_user == like->is_user && strcmp(x->name, like->name) == 0)
			return x;
	}
	return NULL;
}

static bool has_group(const struct account *x, const char *name)
{
	size_t i = 0;

	while (x->groups[i] && strcmp(x->groups[i], name) != 0)
		i++;
	return x->groups[i];
}

/* In whatever order. */
static bool groups_same(const struct account *x, const struct account *y)
{
	for (size_t i = 0; x->groups[i]; i++)
		if (!has_group(y, x->groups[i]))
			return false;
	for (size_t i = 0; y->groups[i]; i++)
		if (!has_group(x, y->groups[i]))
			return false;
	return true;
}

/* The password is the first one only: another one changes nothing on the machine. */
static bool account_same(const struct account *x, const struct account *y)
{
	return groups_same(x, y) && x->id == y->id && strcmp(x->group, y->group) == 0 &&
	       strcmp(x->comment, y->comment) == 0 && strcmp(x->home, y->home) == 0 &&
	       strcmp(x->shell, y->shell) == 0;
}

static int add_account(struct planner *p, enum plan_how how, const struct account *x)
{
	return planner_add(p, x->is_user ? &p->plan->users : &p->plan->groups,
			   (struct plan_item){ how, x->name, "", "", NULL, 0 });
}

int planner_accounts(struct planner *p)
{
	auto_vec struct vec old = VEC_INIT, new = VEC_INIT;
	int rc = read_accounts(p, &p->from, &old);

	if (rc == 0)
		rc = read_accounts(p, &p->to, &new);
	for (size_t i = 0; rc == 0 && p->from.system && i < new.n; i++) {
		const struct account *was = find_account(&old, new.v[i]);

		if (!was)
			rc = add_account(p, PLAN_ADDED, new.v[i]);
		else if (!account_same(was, new.v[i]))
			rc = add_account(p, PLAN_CHANGED, new.v[i]);
	}
	for (size_t i = 0; rc == 0 && i < old.n; i++)
		if (!find_account(&new, old.v[i]))
			rc = add_account(p, PLAN_REMOVED, old.v[i]);
	return rc;
}
