/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/switcher.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/size.h"
#include "system/activate.h"
#include "system/live.h"
#include "system/menu.h"
#include "system/notes.h"

/* "" for "/", else without a slash at the end; absolute, so that a later chdir does not matter. */
static int normal_root(struct arena *a, const char *dir, const char **ret, struct err *e)
{
	char buf[PATH_MAX];

	if (!realpath(dir, buf))
		return err_sys(e, "%s", dir);
	*ret = strcmp(buf, "/") == 0 ? "" : arena_str(a, buf);
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* A generation that is made in one store cannot start from another. */
static int check_store(const struct sys_root *r, struct err *e)
{
	char own[PATH_MAX], theirs[PATH_MAX];
	struct stat a, b;

	(void)snprintf(own, sizeof(own), "%s/gnu/store", r->target);
	(void)snprintf(theirs, sizeof(theirs), "%s/gnu/store", r->store);
	if (strcmp(r->store, r->target) == 0)
		return 0;
	if (stat(own, &a) == 0 && stat(theirs, &b) == 0 && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino)
		return 0;
	return err_set(
		e, -ERR_UNSUPPORTED,
		"the store of %s is not that of %s, which could not start what is made there "
		"[without --root and CAIRN_ROOT its own is taken]",
		r->store[0] ? r->store : "/", r->target[0] ? r->target : "/");
}

static int find_machine(struct switcher *s, const struct switcher_opts *o, struct err *e)
{
	const char *store = o->store.root ? o->store.root : getenv("CAIRN_ROOT");
	struct stat st;
	int rc;

	s->root = (struct sys_root)SYS_ROOT_MACHINE;
	if (!o->target) {
		if (lstat(GEN_LINK, &st) < 0)
			return err_set(e, -ERR_NOTFOUND,
				       "this machine is not a Cairn system: %s is missing "
				       "[--target-root DIR works on one below DIR]",
				       GEN_LINK);
		return 0;
	}
	rc = normal_root(&s->arena, o->target, &s->root.target, e);
	if (rc == 0 && store && store[0]) {
		rc = normal_root(&s->arena, store, &s->root.store, e);
		return rc == 0 ? check_store(&s->root, e) : rc;
	}
	s->root.store = s->root.target;
	return rc;
}

/* A command that was killed before it did anything but leave a note. */
static void drop_stale_note(struct switcher *s)
{
	const struct gen *to = gen_find(&s->list, (unsigned)s->confirm.to);
	const char *active = NULL;
	struct err ignored = ERR_INIT;

	if (gen_running(&s->root, GEN_CURRENT_LINK, &s->arena, &active, &ignored) == 0 &&
	    !(to && active && strcmp(to->path, active) == 0) && !confirm_is_armed(&s->confirm) &&
	    confirm_end(&s->confirm, &ignored) == 0)
		s->unconfirmed = false;
}

int switcher_open(struct switcher *s, const struct switcher_opts *o, const char *verb, bool change,
		  struct err *e)
{
	int rc = find_machine(s, o, e);

	if (rc == 0)
		rc = gen_running(&s->root, GEN_BOOTED_LINK, &s->arena, &s->booted, e);
	if (rc == 0 && change)
		rc = gen_lock(&s->root, verb, &s->lock, e);
	s->busy = rc == -ERR_IN_USE;
	if (rc == 0 && change)
		rc = sys_switch_recover(&s->root, s->booted, &s->recovered, e);
	if (rc == 0)
		rc = gen_list_load(&s->root, &s->arena, &s->list, e);
	if (rc == 0)
		rc = confirm_load(&s->root, &s->arena, &s->confirm, &s->unconfirmed, e);
	if (rc == 0 && change && s->unconfirmed)
		drop_stale_note(s);
	return rc;
}

int switcher_open_any(struct switcher *s, const struct switcher_opts *o, bool anywhere,
		      struct err *e)
{
	const char *store = o->store.root ? o->store.root : getenv("CAIRN_ROOT");
	struct err why = ERR_INIT;
	int rc = switcher_open(s, o, "", false, &why);

	if (rc == 0)
		return 0;
	if (rc != -ERR_NOTFOUND || !anywhere || o->target)
		return err_set(e, rc, "%s", why.msg);
	s->root = (struct sys_root)SYS_ROOT_MACHINE;
	return store && *store ? normal_root(&s->arena, store, &s->root.store, e) : 0;
}

void switcher_done(struct switcher *s)
{
	fd_close(&s->lock);
	arena_done(&s->arena);
}

const char *switcher_current(const struct switcher *s)
{
	const struct gen *g = gen_current(&s->list);

	return g ? g->path : NULL;
}

void switcher_go_through(void)
{
	static const int held[] = { SIGINT, SIGHUP, SIGPIPE };
	sigset_t set;

	/* Held back, not ignored: to be ignored is inherited over exec, and proc_start() empties
	 * the mask. */
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(held); i++)
		sigaddset(&set, held[i]);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int switcher_activate(struct switcher *s, const char *system, bool services, struct vec *ret,
		      struct err *e)
{
	char *set = arena_fmt(&s->arena, "%s/services/set", system);
	char *init = arena_fmt(&s->arena, "%s/init", system);
	struct err first = ERR_INIT, why = ERR_INIT;
	int rc = sys_activate(&s->root, system, &first);
	int live = 0;

	if (!set || !init)
		return err_set(e, -ENOMEM, "out of memory");
	/* A failed step of activation does not keep services from being what the generation says.
	 */
	services = services && sys_root_is_machine(&s->root) && live_is_running();
	/* First, as it may have to read what only it can. One that cannot take over waits for the
	 * next boot, and the one that runs goes on. */
	if (services && live_is_other_init(init) && live_renew(init, &why) < 0)
		fprintf(stderr, "warning: PID 1 stays what it is until the next boot\n");
	if (services)
		live = live_load(&s->arena, set, false, ret, rc < 0 ? NULL : &first);
	if (rc == 0)
		rc = live;
	if (rc < 0)
		*e = first;
	return rc;
}

/* ---- Reports ----------------------------------------------------------------------------------
 */

void switcher_report_recovery(const struct switcher *s)
{
	if (s->recovered == SYS_SWITCH_UNDONE)
		fprintf(stderr,
			"an interrupted switch was undone: generation %u is the current one\n",
			s->list.current);
	if (s->recovered == SYS_SWITCH_DONE)
		fprintf(stderr,
			"an interrupted switch was finished: generation %u is the current one\n",
			s->list.current);
	if (s->recovered == SYS_SWITCH_LEFT)
		fprintf(stderr,
			"warning: an interrupted switch was left as it is, as neither generation "
			"can be booted: generation %u is the current one [cairn system "
			"switch-generation to one that can be]\n",
			s->list.current);
}

/* The one that the boot loader falls back to; 0: none, or not known. */
static unsigned find_good(struct switcher *s)
{
	const char *path = s->booted ? s->booted : switcher_current(s);
	struct err ignored = ERR_INIT;
	struct boot_count c = { 0 };
	struct sys_menu menu;

	if (!path || sys_menu_load(&s->root, &s->arena, path, &menu, &ignored) < 0)
		return 0;
	struct boot_place place = sys_menu_place(&s->root, &menu);
	return boot_count_load(&place, &c, &ignored) == 0 ? c.good : 0;
}

void switcher_report_damaged(struct switcher *s, const struct gen_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct gen *g = &list->v[i];
		struct err why = ERR_INIT;

		if (sys_menu_check_entry(&s->root, g, &why) != -ERR_NOTVALID)
			continue;
		fprintf(stderr, "warning: %s: no menu has it", why.msg);
		if (g->number == find_good(s))
			fprintf(stderr,
				", and as it is the one that came up well last, the machine does "
				"not fall back until another one has [cairn store verify --repair "
				"mends it]\n");
		else if (g->number == s->list.current)
			fprintf(stderr, " [cairn store verify --repair mends it]\n");
		else
			fprintf(stderr,
				" [cairn store verify --repair mends it, cairn system "
				"delete-generations %u lets it go]\n",
				g->number);
	}
}

void switcher_report_services(const struct vec *changes)
{
	for (size_t i = 0; i < changes->n; i++) {
		const struct live_change *x = changes->v[i];

		if (x->action != LIVE_KEEP)
			fprintf(stderr, "service %s: %s\n", x->name, live_action_names[x->action]);
	}
}

void switcher_report_loader(struct switcher *s, unsigned number, const char *path)
{
	struct err ignored = ERR_INIT;
	struct sys_menu now, next;

	if (!s->booted || sys_menu_load(&s->root, &s->arena, s->booted, &now, &ignored) < 0 ||
	    sys_menu_load(&s->root, &s->arena, path, &next, &ignored) < 0 || now.type == next.type)
		return;
	fprintf(stderr,
		"warning: the boot loader of generation %u is '%s', but '%s' started this machine: "
		"it starts that generation only when its disk has that boot loader\n",
		number, boot_type_name(next.type), boot_type_name(now.type));
}

/* ---- Trying out ------------------------------------------------------------------------------ */

int switcher_check_decided(const struct switcher *s, struct err *e)
{
	if (!s->unconfirmed)
		return 0;
	return err_hint(e,
			err_set(e, -ERR_IN_USE, "generation %u waits to be confirmed",
				(unsigned)s->confirm.to),
			"cairn system confirm keeps it, cairn system revert goes back to "
			"generation %u",
			(unsigned)s->confirm.from);
}

/* /etc/static -> SYSTEM/etc */
static const char *of_etc(struct switcher *s)
{
	static const char end[] = "/etc";
	char *link = sys_root_path(&s->root, &s->arena, "/etc/static");
	struct err ignored = ERR_INIT;
	const char *target = NULL;

	if (!link || links_read(&s->arena, link, &target, &ignored) < 0 || !target ||
	    !slice_ends(slice_of(target), end))
		return NULL;
	return arena_slice(&s->arena, (struct slice){ target, strlen(target) - strlen(end) });
}

const char *switcher_active(struct switcher *s)
{
	struct err ignored = ERR_INIT;
	const char *path = NULL;
	char *there;

	if (!sys_root_is_machine(&s->root))
		path = of_etc(s);
	else if (gen_running(&s->root, GEN_CURRENT_LINK, &s->arena, &path, &ignored) < 0)
		path = NULL;
	there = path ? sys_root_store(&s->root, &s->arena, path) : NULL;
	return there && access(there, F_OK) == 0 ? path : NULL;
}

int switcher_find_active(struct switcher *s, unsigned *ret, struct err *e)
{
	const char *path = NULL;
	int rc = gen_running(&s->root, GEN_CURRENT_LINK, &s->arena, &path, e);

	*ret = 0;
	for (size_t i = s->list.n; rc == 0 && path && i-- > 0;) {
		const struct gen *g = &s->list.v[i];
		if (strcmp(g->path, path) == 0 && (!*ret || g->number == s->list.current))
			*ret = g->number;
	}
	return rc;
}

/* The program that goes back belongs to what it goes back to. */
static int find_program(struct switcher *s, unsigned number, char **ret, struct err *e)
{
	const struct gen *g = gen_find(&s->list, number);
	char *dir = g ? gen_part(&s->root, &s->arena, g->path, "cairn") : NULL;
	char *program = dir ? arena_fmt(&s->arena, "%s/bin/cairn", dir) : NULL;

	if (!g)
		return err_set(e, -ERR_NOTFOUND,
			       "what runs is no generation of this machine: there is no way back");
	if (!program)
		return err_set(e, -ENOMEM, "out of memory");
	if (access(program, X_OK) < 0)
		return err_sys(e, "generation %u has no program to go back with: %s", number,
			       program);
	*ret = program;
	return 0;
}

/* A reset is to be a way back, too: it starts what the profile and the boot menu name. */
static int check_reset(struct switcher *s, unsigned number, const char *path, unsigned from,
		       struct err *e)
{
	const struct gen *active = gen_find(&s->list, from);
	const char *current = switcher_current(s);

	if (!current || strcmp(current, path) != 0 || !active || strcmp(active->path, path) == 0)
		return 0;
	return err_hint(e,
			err_set(e, -ERR_UNSUPPORTED,
				"generation %u cannot be tried out: its system is the current one "
				"already, though generation %u runs, so that a reset would be no "
				"way back",
				number, from),
			"cairn system switch-generation --boot %u makes that the current one "
			"first; without --confirm it is switched to for good",
			from);
}

/* Kept on disk, as a cut of the power ends a trial like the end of its time; not noted is no reason
 * to try nothing. Not what the machine starts anyway. */
static void note_tried(const struct switcher *s, unsigned number, bool tried)
{
	struct err ignored = ERR_INIT;

	if (number != s->list.current)
		(void)notes_set_tried(&s->root, number, tried, &ignored);
}

int switcher_try(struct switcher *s, unsigned number, const char *path, bool fresh,
		 uint64_t seconds, bool *ret_begun, struct vec *ret, struct err *e)
{
	const struct gen *g = gen_find(&s->list, number);
	struct err ignored = ERR_INIT;
	char *program = NULL;
	unsigned from = 0;
	int rc = 0;

	*ret_begun = false;
	if (!sys_root_is_machine(&s->root) || !live_is_running())
		rc = err_set(e, -ERR_UNSUPPORTED, "there is no PID 1 here that could go back");
	if (rc == 0)
		rc = switcher_find_active(s, &from, e);
	if (rc == 0)
		rc = find_program(s, from, &program, e);
	if (rc == 0)
		rc = check_reset(s, number, path, from, e);
	if (rc == 0) /* what would keep it from being confirmed */
		rc = sys_menu_check(&s->root, path, e);
	if (rc == 0)
		rc = sys_menu_check_room(&s->root, &s->list, number, path, e);
	if (rc == 0 && fresh)
		rc = gen_link_make(&s->root, number, path, e);
	if (rc < 0)
		return rc;
	note_tried(s, number, true);
	s->confirm = (struct confirm){ .to = number, .from = from };
	rc = confirm_begin(&s->arena, program, seconds, &s->confirm, e);
	if (rc < 0) {
		if (fresh)
			(void)gen_link_remove(&s->root, number, &ignored);
		note_tried(s, number, g && g->tried);
		return rc;
	}
	*ret_begun = s->unconfirmed = true;
	return switcher_activate(s, path, true, ret, e);
}

int switcher_revert(struct switcher *s, bool *ret_back, struct vec *ret, struct err *e)
{
	const struct confirm *c = &s->confirm;
	const struct gen *g = gen_find(&s->list, (unsigned)c->from);
	struct err first = ERR_INIT, second = ERR_INIT, ignored = ERR_INIT;
	int rc = 0;

	*ret_back = false;
	if (!g)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u any more",
			       (unsigned)c->from);
	/* A confirmation that was cut off after its switch. */
	if (s->list.current == c->to && c->from != c->to) {
		rc = sys_switch(&s->root, g->number, NULL, &first);
		/* It forgot that as well. */
		if (rc == 0)
			(void)notes_set_tried(&s->root, (unsigned)c->to, true, &ignored);
	}
	/* Whatever became of that: the services are what somebody waits for. */
	int live = switcher_activate(s, g->path, true, ret, rc < 0 ? &second : &first);
	/* Services that fail are no reason to do it again: the load took place. */
	*ret_back = rc == 0 && (live == 0 || ret->n);
	if (*ret_back)
		confirm_note_reverted(c);
	if (rc == 0)
		rc = live;
	if (rc < 0)
		*e = first;
	return rc;
}
