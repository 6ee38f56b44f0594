/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "store/store.h"
#include "system/accounts.h"

#define LIMIT_PLAN_FILE (4 << 20)
#define LIMIT_ETC_DEPTH 16

struct planner {
	const struct sys_root *root;
	struct arena *a;
	const char *from, *to; /* logical; from may be NULL */
	struct plan *plan;
	struct err *e;
};

void plan_done(struct plan *p)
{
	vec_done(&p->packages);
	vec_done(&p->etc);
	vec_done(&p->users);
	vec_done(&p->groups);
	vec_done(&p->facts);
	vec_done(&p->environment);
	vec_done(&p->services);
	vec_done(&p->reboot);
}

static int no_memory(struct planner *p)
{
	return err_set(p->e, -ENOMEM, "out of memory");
}

static int add(struct planner *p, struct vec *list, struct plan_item item)
{
	struct plan_item *copy = arena_dup(p->a, &item, sizeof(item));

	vec_add(list, copy);
	return !copy || list->err ? no_memory(p) : 0;
}

static char *part(struct planner *p, const char *system, const char *name)
{
	return gen_part(p->root, p->a, system, name);
}

/*
 * A path of the generation that is left; NULL in *ret when there is no such generation, or when it
 * is damaged and the path is gone: then there is nothing to compare with, which must keep nobody
 * there.
 */
static int part_before(struct planner *p, const char *name, const char *below, char **ret)
{
	char *base = p->from ? part(p, p->from, name) : NULL;
	char *path = base ? arena_fmt(p->a, "%s%s", base, below) : NULL;

	if (p->from && !path)
		return no_memory(p);
	*ret = path && access(path, F_OK) == 0 ? path : NULL;
	return 0;
}

/* Contents of a file of a generation in arena; "" when there is no generation or no such file. */
static int read_part(struct planner *p, const char *system, const char *dir, const char *file,
		     struct slice *ret)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	char *base, *path, *copy;
	int rc;

	*ret = (struct slice){ "", 0 };
	if (!system)
		return 0;
	base = dir ? part(p, system, dir) : arena_fmt(p->a, "%s%s", p->root->store, system);
	path = base ? arena_fmt(p->a, "%s/%s", base, file) : NULL;
	if (!path)
		return no_memory(p);
	rc = file_read(AT_FDCWD, path, &text, LIMIT_PLAN_FILE, &tmp);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return err_set(p->e, rc, "%s", tmp.msg);
	copy = arena_slice(p->a, str_slice(&text));
	if (!copy)
		return no_memory(p);
	*ret = (struct slice){ copy, text.len };
	return 0;
}

/* ---- Packages -------------------------------------------------------------------------------- */

struct package {
	const char *name, *version, *path;
	bool seen;
};

/* "package NAME VERSION PATH" lines into a table by name; the kernel line is not a package. */
static int read_packages(struct planner *p, const char *system, struct tab *t, struct vec *names)
{
	struct slice text, line, kind, name, version;
	int rc = read_part(p, system, NULL, "packages", &text);

	while (rc == 0 && slice_cut(&text, '\n', &line)) {
		struct package *x = ARENA_NEW(p->a, struct package);
		void **slot;

		if (!slice_cut(&line, ' ', &kind) || !slice_is(kind, "package") ||
		    !slice_cut(&line, ' ', &name) || !slice_cut(&line, ' ', &version) || !line.p)
			continue;
		if (!x)
			return no_memory(p);
		*x = (struct package){ arena_slice(p->a, name),
				       slice_is(version, "-") ? "" : arena_slice(p->a, version),
				       arena_slice(p->a, line), false };
		slot = x->name ? tab_put(t, slice_of(x->name), NULL) : NULL;
		if (!slot)
			return no_memory(p);
		*slot = x;
		vec_add(names, (void *)x->name);
	}
	return rc;
}

static int compare_package(struct planner *p, const struct package *o, const struct package *n)
{
	if (!o)
		return add(p, &p->plan->packages,
			   (struct plan_item){ PLAN_ADDED, n->name, "", n->version, n->path, 0 });
	if (!n)
		return add(p, &p->plan->packages,
			   (struct plan_item){ PLAN_REMOVED, o->name, o->version, "", o->path, 0 });
	if (strcmp(o->path, n->path) != 0)
		return add(p, &p->plan->packages,
			   (struct plan_item){ PLAN_CHANGED, n->name, o->version, n->version,
					       n->path, 0 });
	return 0;
}

static int plan_packages(struct planner *p)
{
	auto_tab struct tab old = TAB_INIT, new = TAB_INIT;
	auto_vec struct vec names = VEC_INIT;
	int rc = read_packages(p, p->from, &old, &names);

	if (rc == 0)
		rc = read_packages(p, p->to, &new, &names);
	vec_sort_str(&names);
	vec_uniq_str(&names);
	if (names.err)
		return no_memory(p);
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
	int rc = 0;

	if (!d)
		return err_sys(p->e, "%s/%s", dir, rel);
	while (rc == 0 && (x = readdir(d))) {
		char *inner;
		struct stat st;

		if (strcmp(x->d_name, ".") == 0 || strcmp(x->d_name, "..") == 0)
			continue;
		inner = arena_fmt(p->a, "%s%s%s", rel, rel[0] ? "/" : "", x->d_name);
		if (!inner)
			rc = no_memory(p);
		else if (fstatat(dirfd(d), x->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			rc = err_sys(p->e, "%s/%s", dir, inner);
		else if (S_ISDIR(st.st_mode) && depth < LIMIT_ETC_DEPTH)
			rc = etc_names(p, dir, inner, depth + 1, names);
		else
			vec_add(names, inner);
	}
	closedir(d);
	return rc;
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
	return add(p, &p->plan->etc,
		   (struct plan_item){ !was ? PLAN_ADDED
				       : is ? PLAN_CHANGED
					    : PLAN_REMOVED,
				       rel, "", "", NULL, 0 });
}

static int plan_etc(struct planner *p)
{
	auto_vec struct vec old = VEC_INIT, new = VEC_INIT, all = VEC_INIT;
	char *from = NULL, *to = part(p, p->to, "etc");
	int rc = to ? part_before(p, "etc", "", &from) : no_memory(p);

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
		return no_memory(p);
	for (size_t i = 0; rc == 0 && i < all.n; i++)
		rc = compare_etc(p, from, to, all.v[i], vec_has_str(&old, all.v[i]),
				 vec_has_str(&new, all.v[i]));
	return rc;
}

/* ---- Accounts, facts, what needs a reboot -------------------------------------------------------
 */

static int account_order(const void *a, const void *b)
{
	const struct account *x = *(const struct account *const *)a;
	const struct account *y = *(const struct account *const *)b;

	return strcmp(x->name, y->name);
}

static int read_accounts(struct planner *p, const char *system, struct vec *list)
{
	int rc = system ? accounts_load(p->root, p->a, system, list, p->e) : 0;

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

/* The password is the first one only: another one changes nothing on the machine. */
static bool account_same(const struct account *x, const struct account *y)
{
	size_t i = 0;

	while (x->groups[i] && y->groups[i] && strcmp(x->groups[i], y->groups[i]) == 0)
		i++;
	return !x->groups[i] && !y->groups[i] && x->id == y->id &&
	       strcmp(x->group, y->group) == 0 && strcmp(x->comment, y->comment) == 0 &&
	       strcmp(x->home, y->home) == 0 && strcmp(x->shell, y->shell) == 0;
}

static int add_account(struct planner *p, enum plan_how how, const struct account *x)
{
	return add(p, x->is_user ? &p->plan->users : &p->plan->groups,
		   (struct plan_item){ how, x->name, "", "", NULL, 0 });
}

static int plan_accounts(struct planner *p)
{
	auto_vec struct vec old = VEC_INIT, new = VEC_INIT;
	int rc = read_accounts(p, p->from, &old);

	if (rc == 0)
		rc = read_accounts(p, p->to, &new);
	for (size_t i = 0; rc == 0 && p->from && i < new.n; i++) {
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

static int fact(struct planner *p, const char *name, const char *before, const char *after)
{
	if (strcmp(before, after) == 0)
		return 0;
	return add(p, &p->plan->facts,
		   (struct plan_item){ PLAN_CHANGED, name, before, after, NULL, 0 });
}

static int plan_facts(struct planner *p)
{
	struct gen_facts o = { 0 }, n;
	int rc = gen_facts_load(p->root, p->a, p->to, &n, p->e);

	if (rc == 0 && p->from)
		rc = gen_facts_load(p->root, p->a, p->from, &o, p->e);
	if (rc < 0 || !p->from)
		return rc;
	rc = fact(p, "host name", o.host_name, n.host_name);
	if (rc == 0)
		rc = fact(p, "label", o.label, n.label);
	return rc < 0 ? rc : fact(p, "kernel", o.kernel, n.kernel);
}

/* ---- Settings of the menu, variables of all services ----------------------------------------- */

/* "KEY = VALUE" lines of one section, by key; variables by their own name. */
struct settings {
	struct tab values; /* const char * */
	struct vec names;
};
#define SETTINGS_INIT                                                                              \
	{                                                                                          \
		TAB_INIT, VEC_INIT                                                                 \
	}

static void settings_done(struct settings *s)
{
	tab_done(&s->values);
	vec_done(&s->names);
}
#define auto_settings __attribute__((cleanup(settings_done)))

static int add_setting(struct planner *p, struct settings *s, struct slice name, struct slice value)
{
	char *key = arena_slice(p->a, slice_trim(name));
	void **slot = key ? tab_put(&s->values, slice_of(key), NULL) : NULL;

	if (!slot)
		return no_memory(p);
	*slot = arena_slice(p->a, slice_trim(value));
	vec_add(&s->names, key);
	return !*slot || s->names.err ? no_memory(p) : 0;
}

static int read_settings(struct planner *p, const char *system, const char *dir, const char *file,
			 const char *section, const char *only, struct settings *ret)
{
	struct slice text, line, key;
	bool inside = false;
	int rc = read_part(p, system, dir, file, &text);

	while (rc == 0 && text.n && slice_cut(&text, '\n', &line)) {
		line = slice_trim(line);
		if (slice_starts(line, "["))
			inside = slice_is(line, section);
		if (!inside || !slice_cut(&line, '=', &key))
			continue;
		if (only && !slice_is(slice_trim(key), only))
			continue;
		line = slice_trim(line);
		if (only && slice_starts(line, "\"") && slice_ends(line, "\""))
			line = (struct slice){ line.p + 1, line.n - 2 };
		if (!only || slice_cut(&line, '=', &key))
			rc = add_setting(p, ret, key, line);
	}
	return rc;
}

/* Names of both, sorted. */
static int all_names(struct planner *p, const struct settings *x, const struct settings *y,
		     struct vec *ret)
{
	for (size_t i = 0; i < x->names.n; i++)
		vec_add(ret, x->names.v[i]);
	for (size_t i = 0; i < y->names.n; i++)
		vec_add(ret, y->names.v[i]);
	vec_sort_str(ret);
	vec_uniq_str(ret);
	return ret->err ? no_memory(p) : 0;
}

static int plan_menu(struct planner *p)
{
	auto_settings struct settings old = SETTINGS_INIT, new = SETTINGS_INIT;
	auto_vec struct vec names = VEC_INIT;
	int rc = read_settings(p, p->from, "boot", "menu", "[menu]", NULL, &old);

	if (rc == 0)
		rc = read_settings(p, p->to, "boot", "menu", "[menu]", NULL, &new);
	if (rc == 0)
		rc = all_names(p, &old, &new, &names);
	for (size_t i = 0; rc == 0 && p->from && i < names.n; i++) {
		struct slice name = slice_of(names.v[i]);
		const char *x = tab_find(&old.values, name), *y = tab_find(&new.values, name);
		char *title = arena_fmt(p->a, "menu %s", (const char *)names.v[i]);

		rc = title ? fact(p, title, x ? x : "", y ? y : "") : no_memory(p);
	}
	return rc;
}

static int plan_environment(struct planner *p)
{
	auto_settings struct settings old = SETTINGS_INIT, new = SETTINGS_INIT;
	auto_vec struct vec names = VEC_INIT;
	int rc = read_settings(p, p->from, "services", "set", "[init]", "environment", &old);

	if (rc == 0)
		rc = read_settings(p, p->to, "services", "set", "[init]", "environment", &new);
	if (rc == 0)
		rc = all_names(p, &old, &new, &names);
	for (size_t i = 0; rc == 0 && p->from && i < names.n; i++) {
		struct slice name = slice_of(names.v[i]);
		const char *x = tab_find(&old.values, name), *y = tab_find(&new.values, name);

		if (x && y && strcmp(x, y) == 0)
			continue;
		rc = add(p, &p->plan->environment,
			 (struct plan_item){ !x	 ? PLAN_ADDED
					     : y ? PLAN_CHANGED
						 : PLAN_REMOVED,
					     names.v[i], "", "", NULL, 0 });
	}
	return rc;
}

/* Do the links NAME of two generations differ? */
static bool link_differs(struct planner *p, const char *x, const char *y, const char *name)
{
	char *a = part(p, x, name), *b = part(p, y, name);

	return a && b && strcmp(a, b) != 0;
}

/* Kernel arguments without the one that names the generation itself. */
static int arguments(struct planner *p, const char *system, struct str *out)
{
	struct slice text, word;
	int rc = read_part(p, system, NULL, "parameters", &text);

	text = slice_trim(text);
	while (rc == 0 && text.n && slice_cut(&text, ' ', &word)) {
		if (word.n && !slice_starts(word, "cairn.system="))
			str_addf(out, "%s%.*s", out->len ? " " : "", (int)word.n, word.p);
	}
	return rc;
}

static int plan_reboot(struct planner *p, const char *booted)
{
	static const struct {
		const char *link, *text;
	} links[] = { { "kernel", "kernel" }, { "initrd", "initramfs" }, { "init", "init" } };
	auto_str struct str x = STR_INIT, y = STR_INIT;
	int rc;

	if (!booted)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (link_differs(p, booted, p->to, links[i].link))
			vec_add(&p->plan->reboot, (void *)links[i].text);
	}
	rc = arguments(p, booted, &x);
	if (rc == 0)
		rc = arguments(p, p->to, &y);
	if (rc == 0 && !slice_eq(str_slice(&x), str_slice(&y))) {
		vec_add(&p->plan->reboot, (void *)"kernel arguments");
		rc = fact(p, "kernel arguments", arena_slice(p->a, str_slice(&x)),
			  arena_slice(p->a, str_slice(&y)));
	}
	return rc;
}

/* ---- Services -------------------------------------------------------------------------------- */

/* By this program; when it is too old for the new set, by the one that comes with it. */
static int compare_sets(struct planner *p, const char *old, const char *new)
{
	char *program = part(p, p->to, "cairn");
	struct err tmp = ERR_INIT;
	int rc = live_compare(p->a, NULL, old, new, &p->plan->services, &tmp);

	if (rc < 0 && rc != -ERR_INVALID)
		*p->e = tmp;
	if (rc != -ERR_INVALID)
		return rc;
	program = program ? arena_fmt(p->a, "%s/bin/cairn", program) : NULL;
	return program ? live_compare(p->a, program, old, new, &p->plan->services, p->e)
		       : no_memory(p);
}

static int plan_services(struct planner *p, bool at_boot)
{
	struct plan *plan = p->plan;
	struct err tmp = ERR_INIT;
	char *old = NULL, *new = part(p, p->to, "services");
	int before = part_before(p, "services", "/set", &old);

	new = new ? arena_fmt(p->a, "%s/set", new) : NULL;
	if (before < 0 || !new)
		return no_memory(p);
	plan->services_at_boot = at_boot;
	plan->services_live = !at_boot && sys_root_is_machine(p->root) && live_is_running();
	if (plan->services_live) {
		int rc = live_load(p->a, new, true, &plan->services, &tmp);

		if (rc < 0 && rc != -ERR_INVALID)
			*p->e = tmp;
		if (rc != -ERR_INVALID)
			return rc;
		/* A set for a newer init than the one that runs: no reason not to have it. */
		plan->services_live = false;
		plan->services_at_boot = plan->init_too_old = true;
	}
	return compare_sets(p, old, new);
}

int plan_make(const struct sys_root *r, struct arena *a, const char *from, const char *to,
	      const char *booted, bool at_boot, struct plan *ret, struct err *e)
{
	struct planner p = { r, a, from, to, ret, e };
	int rc = plan_packages(&p);

	if (rc == 0)
		rc = plan_facts(&p);
	if (rc == 0)
		rc = plan_menu(&p);
	if (rc == 0)
		rc = plan_etc(&p);
	if (rc == 0)
		rc = plan_accounts(&p);
	if (rc == 0)
		rc = plan_environment(&p);
	if (rc == 0)
		rc = plan_reboot(&p, booted ? booted : from);
	return rc < 0 ? rc : plan_services(&p, at_boot);
}

int plan_reboot_reasons(const struct sys_root *r, struct arena *a, const char *booted,
			const char *to, struct plan *ret, struct err *e)
{
	struct planner p = { r, a, NULL, to, ret, e };

	return plan_reboot(&p, booted);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static int closure_size(struct store_conn *c, struct arena *a, const char *path, uint64_t *ret,
			struct err *e)
{
	auto_vec struct vec items = VEC_INIT;
	int rc = store_closure(c, a, &path, 1, &items, e);
	uint64_t sum = 0;

	for (size_t i = 0; rc == 0 && i < items.n; i++) {
		struct store_info *info;

		rc = store_info(c, a, items.v[i], &info, e);
		if (rc == 0)
			sum += info->nar_size;
	}
	if (rc == 0)
		*ret = sum;
	return rc;
}

int plan_sizes(struct store_conn *c, struct arena *a, const char *from, const char *to,
	       struct plan *p, struct err *e)
{
	int rc = closure_size(c, a, to, &p->closure_after, e);
	bool known = false;

	if (rc == 0 && from)
		rc = store_is_valid(c, from, &known, e);
	if (rc == 0 && known)
		rc = closure_size(c, a, from, &p->closure_before, e);
	for (size_t i = 0; rc == 0 && i < p->packages.n; i++) {
		struct plan_item *item = p->packages.v[i];
		struct store_info *info;

		rc = store_is_valid(c, item->path, &known, e);
		if (rc == 0 && known)
			rc = store_info(c, a, item->path, &info, e);
		if (rc == 0 && known)
			item->size = info->nar_size;
	}
	return rc;
}
