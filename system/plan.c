/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "lib/tab.h"
#include "lib/text.h"
#include "system/menu.h"
#include "system/planner.h"

void plan_done(struct plan *p)
{
	vec_done(&p->packages);
	vec_done(&p->etc);
	vec_done(&p->users);
	vec_done(&p->groups);
	vec_done(&p->secrets);
	vec_done(&p->privileged);
	vec_done(&p->facts);
	vec_done(&p->environment);
	vec_done(&p->services);
	vec_done(&p->reboot);
}

int planner_no_memory(struct planner *p)
{
	return err_set(p->e, -ENOMEM, "out of memory");
}

int planner_add(struct planner *p, struct vec *list, struct plan_item item)
{
	struct plan_item *copy = arena_dup(p->a, &item, sizeof(item));

	vec_add(list, copy);
	return !copy || list->err ? planner_no_memory(p) : 0;
}

char *planner_part(struct planner *p, const struct plan_side *side, const char *name)
{
	return gen_part(&side->root, p->a, side->system, name);
}

int planner_before(struct planner *p, const char *name, const char *below, char **ret)
{
	char *base = p->from.system ? planner_part(p, &p->from, name) : NULL;
	char *path = base ? arena_fmt(p->a, "%s%s", base, below) : NULL;

	if (p->from.system && !path)
		return planner_no_memory(p);
	*ret = path && access(path, F_OK) == 0 ? path : NULL;
	return 0;
}

int planner_read(struct planner *p, const struct plan_side *side, const char *dir, const char *file,
		 struct slice *ret)
{
	auto_str struct str text = STR_INIT;
	struct err tmp = ERR_INIT;
	char *base, *path, *copy;
	int rc;

	*ret = (struct slice){ "", 0 };
	if (!side->system)
		return 0;
	base = dir ? planner_part(p, side, dir)
		   : arena_fmt(p->a, "%s%s", side->root.store, side->system);
	path = base ? arena_fmt(p->a, "%s/%s", base, file) : NULL;
	if (!path)
		return planner_no_memory(p);
	rc = file_read(AT_FDCWD, path, &text, LIMIT_PLAN_FILE, &tmp);
	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return err_set(p->e, rc, "%s", tmp.msg);
	copy = arena_slice(p->a, str_slice(&text));
	if (!copy)
		return planner_no_memory(p);
	*ret = (struct slice){ copy, text.len };
	return 0;
}

static int fact(struct planner *p, const char *name, const char *before, const char *after)
{
	if (strcmp(before, after) == 0)
		return 0;
	return planner_add(p, &p->plan->facts,
			   (struct plan_item){ PLAN_CHANGED, name, before, after, NULL, 0 });
}

/* Kernel arguments without the one that names the generation itself. */
static int arguments(struct planner *p, const struct plan_side *side, struct str *out)
{
	struct slice text, word;
	int rc = planner_read(p, side, NULL, "parameters", &text);

	text = slice_trim(text);
	while (rc == 0 && text.n && slice_cut(&text, ' ', &word)) {
		if (word.n && !slice_starts(word, "cairn.system="))
			str_addf(out, "%s%.*s", out->len ? " " : "", (int)word.n, word.p);
	}
	return rc;
}

static int plan_arguments(struct planner *p)
{
	auto_str struct str x = STR_INIT, y = STR_INIT;
	const char *before, *after;
	int rc = arguments(p, &p->next, &x);

	if (rc == 0)
		rc = arguments(p, &p->to, &y);
	if (rc < 0)
		return rc;
	before = arena_slice(p->a, str_slice(&x));
	after = arena_slice(p->a, str_slice(&y));
	return before && after ? fact(p, "kernel arguments", before, after) : planner_no_memory(p);
}

static int plan_facts(struct planner *p)
{
	struct gen_facts runs = { 0 }, o = { 0 }, n;
	int rc = gen_facts_load(&p->to.root, p->a, p->to.system, &n, p->e);

	if (rc == 0 && p->from.system)
		rc = gen_facts_load(&p->from.root, p->a, p->from.system, &runs, p->e);
	if (rc == 0 && p->from.system)
		rc = fact(p, "host name", runs.host_name, n.host_name);
	if (rc == 0 && p->next.system)
		rc = gen_facts_load(&p->next.root, p->a, p->next.system, &o, p->e);
	if (rc < 0 || !p->next.system)
		return rc;
	rc = fact(p, "label", o.label, n.label);
	if (rc == 0)
		rc = fact(p, "kernel", o.kernel, n.kernel);
	return rc < 0 ? rc : plan_arguments(p);
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
		return planner_no_memory(p);
	*slot = arena_slice(p->a, slice_trim(value));
	vec_add(&s->names, key);
	return !*slot || s->names.err ? planner_no_memory(p) : 0;
}

static int read_settings(struct planner *p, const struct plan_side *side, const char *dir,
			 const char *file, const char *section, const char *only,
			 struct settings *ret)
{
	struct slice text, line, key;
	bool inside = false;
	int rc = planner_read(p, side, dir, file, &text);

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
	return ret->err ? planner_no_memory(p) : 0;
}

/* A menu that waits for a choice: what the configuration says instead of the day in the file. */
static const char *menu_value(const char *name, const char *value)
{
	uint64_t seconds;

	if (value && strcmp(name, "timeout") == 0 &&
	    text_u64(slice_of(value), SYS_MENU_WAIT, &seconds) == 0 && seconds == SYS_MENU_WAIT)
		return "-1";
	return value ? value : "";
}

/* The settings of one file of boot/. */
static int plan_boot(struct planner *p, const char *file, const char *section)
{
	auto_settings struct settings old = SETTINGS_INIT, new = SETTINGS_INIT;
	auto_vec struct vec names = VEC_INIT;
	int rc = read_settings(p, &p->next, "boot", file, section, NULL, &old);

	if (rc == 0)
		rc = read_settings(p, &p->to, "boot", file, section, NULL, &new);
	if (rc == 0)
		rc = all_names(p, &old, &new, &names);
	for (size_t i = 0; rc == 0 && p->next.system && i < names.n; i++) {
		const char *name = names.v[i];
		char *title = arena_fmt(p->a, "menu %s", name);

		rc = title ? fact(p, title, menu_value(name, tab_find(&old.values, slice_of(name))),
				  menu_value(name, tab_find(&new.values, slice_of(name))))
			   : planner_no_memory(p);
	}
	return rc;
}

static int plan_menu(struct planner *p)
{
	int rc = plan_boot(p, "menu", "[menu]");

	return rc < 0 ? rc : plan_boot(p, "mount", "[mount]");
}

static int plan_environment(struct planner *p)
{
	auto_settings struct settings old = SETTINGS_INIT, new = SETTINGS_INIT;
	auto_vec struct vec names = VEC_INIT;
	int rc = read_settings(p, &p->from, "services", "set", "[init]", "environment", &old);

	if (rc == 0)
		rc = read_settings(p, &p->to, "services", "set", "[init]", "environment", &new);
	if (rc == 0)
		rc = all_names(p, &old, &new, &names);
	for (size_t i = 0; rc == 0 && p->from.system && i < names.n; i++) {
		struct slice name = slice_of(names.v[i]);
		const char *x = tab_find(&old.values, name), *y = tab_find(&new.values, name);

		if (x && y && strcmp(x, y) == 0)
			continue;
		rc = planner_add(p, &p->plan->environment,
				 (struct plan_item){ !x	 ? PLAN_ADDED
						     : y ? PLAN_CHANGED
							 : PLAN_REMOVED,
						     names.v[i], "", "", NULL, 0 });
	}
	return rc;
}

/* Do the links NAME of two generations differ? */
static bool link_differs(struct planner *p, const struct plan_side *x, const struct plan_side *y,
			 const char *name)
{
	const char *a = planner_part(p, x, name), *b = planner_part(p, y, name);

	return a && b && strcmp(a + strlen(x->root.store), b + strlen(y->root.store)) != 0;
}

static int plan_reboot(struct planner *p, const struct plan_side *booted)
{
	static const struct {
		const char *link, *text;
	} links[] = { { "kernel", "kernel" }, { "initrd", "initramfs" }, { "init", "init" } };
	auto_str struct str x = STR_INIT, y = STR_INIT;
	int rc;

	if (!booted->system)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (link_differs(p, booted, &p->to, links[i].link))
			vec_add(&p->plan->reboot, (void *)links[i].text);
	}
	/* What is put among a kernel's modules is read where the booted one's are. */
	if (!link_differs(p, booted, &p->to, "kernel") &&
	    link_differs(p, booted, &p->to, "kernel-modules"))
		vec_add(&p->plan->reboot, (void *)"kernel modules");
	rc = arguments(p, booted, &x);
	if (rc == 0)
		rc = arguments(p, &p->to, &y);
	if (rc == 0 && !slice_eq(str_slice(&x), str_slice(&y)))
		vec_add(&p->plan->reboot, (void *)"kernel arguments");
	return rc;
}

/* ---- Services -------------------------------------------------------------------------------- */

/* By this program; when it is too old for the new set, by the one that comes with it. That is not
 * there before it is built: then nobody can tell. Nor when the set that is left is damaged, which
 * must keep nobody there. */
static int compare_sets(struct planner *p, const char *old, const char *new)
{
	char *program = planner_part(p, &p->to, "cairn");
	struct vec *ret = &p->plan->services;
	struct err tmp = ERR_INIT;
	int rc = live_compare(p->a, NULL, old, new, ret, &tmp);

	if (rc < 0 && rc != -ERR_INVALID)
		*p->e = tmp;
	if (rc != -ERR_INVALID)
		return rc;
	program = program ? arena_fmt(p->a, "%s/bin/cairn", program) : NULL;
	if (!program)
		return planner_no_memory(p);
	if (access(program, X_OK) == 0)
		rc = live_compare(p->a, program, old, new, ret, &tmp);
	if (rc == -ERR_INVALID &&
	    (access(program, X_OK) < 0 ||
	     (old && live_compare(p->a, program, NULL, new, ret, &tmp) == 0))) {
		ret->n = 0;
		p->plan->services_unknown = true;
		return 0;
	}
	if (rc < 0)
		*p->e = tmp;
	return rc;
}

static int plan_services(struct planner *p, const struct plan_request *q)
{
	struct plan *plan = p->plan;
	struct err tmp = ERR_INIT;
	char *old = NULL, *new = planner_part(p, &p->to, "services");
	int before = planner_before(p, "services", "/set", &old);

	new = new ? arena_fmt(p->a, "%s/set", new) : NULL;
	if (before < 0 || !new)
		return planner_no_memory(p);
	plan->services_at_boot = q->at_boot;
	plan->services_live = q->live && !q->at_boot && live_is_running();
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

int plan_make(const struct plan_request *q, struct arena *a, struct plan *ret, struct err *e)
{
	struct planner p = { a, q->active.system ? q->active : q->from, q->to, q->from, ret, e };
	int rc = planner_packages(&p);

	if (rc == 0)
		rc = plan_facts(&p);
	if (rc == 0)
		rc = plan_menu(&p);
	if (rc == 0)
		rc = planner_etc(&p);
	if (rc == 0)
		rc = planner_accounts(&p);
	if (rc == 0)
		rc = planner_rights(&p);
	if (rc == 0)
		rc = plan_environment(&p);
	if (rc == 0)
		rc = plan_reboot(&p, q->booted.system ? &q->booted : &q->from);
	return rc < 0 ? rc : plan_services(&p, q);
}

int plan_reboot_reasons(const struct sys_root *r, struct arena *a, const char *booted,
			const char *to, struct plan *ret, struct err *e)
{
	const struct plan_side none = { *r, NULL }, runs = { *r, booted };
	struct planner p = { a, none, { *r, to }, none, ret, e };

	return plan_reboot(&p, &runs);
}
