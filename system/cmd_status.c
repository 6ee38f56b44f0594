/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system status, and mark-good, which the health gate runs. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <time.h>

#include "lib/size.h"
#include "lib/text.h"
#include "system/live.h"
#include "system/switcher.h"
#include "system/system.h"

#define LONGEST_HOLD 86400u /* seconds */

struct ctx {
	struct switcher_opts sw;
	uint64_t hold; /* seconds */
};

/* What boots, what would boot, and why. Generations by number; 0: none, or not known. */
struct status {
	struct boot_place place;
	bool none; /* boots are not counted */
	struct boot_count count;
	bool falls_back; /* there is a good one, and the boot loader can start it */
	unsigned booted, current;
	unsigned active;	       /* what activation made the machine agree with last */
	const char *active_system;     /* NULL: not known */
	char boot_dir[PATH_MAX];       /* of a boot partition; "": there is none */
	uint64_t boot_used, boot_free; /* bytes */
	unsigned def;		       /* what the menu in place starts */
	unsigned next; /* what the next boot starts: def, or the good one when its tries are used up
			*/
	bool fell_back;	    /* and that has happened */
	bool armed;	    /* what is tried out goes away by itself */
	struct vec stale;   /* services that run with an older definition; strings */
	bool reboot_known;  /* whether what runs differs from what the next boot starts */
	struct plan differ; /* its list "reboot" says in what */
};

#define STATUS_INIT                                                                                \
	{                                                                                          \
		.stale = VEC_INIT, .differ = PLAN_INIT                                             \
	}

static void status_done(struct status *x)
{
	vec_done(&x->stale);
	plan_done(&x->differ);
}

static bool has_path(const struct gen *g, const char *path)
{
	return g && strcmp(g->path, path) == 0;
}

/* Number of the generation that runs. Of several with the same item it is the one on trial, then
 * the current one, then the newest: they differ in nothing but the number. */
static unsigned booted_number(const struct switcher *s, const struct boot_count *c)
{
	const unsigned first[] = { c->trial, s->list.current };

	if (!s->booted)
		return 0;
	for (size_t i = 0; i < 2; i++)
		if (has_path(gen_find(&s->list, first[i]), s->booted))
			return first[i];
	for (size_t i = s->list.n; i-- > 0;)
		if (has_path(&s->list.v[i], s->booted))
			return s->list.v[i].number;
	return 0;
}

/* As what runs says; the settings of another generation may be past reading. */
static int find_loader(struct switcher *s, struct status *x, struct err *e)
{
	const char *path = s->booted ? s->booted : switcher_current(s);
	struct sys_menu menu = { .dir = "" };
	int rc = path ? sys_menu_load(&s->root, &s->arena, path, &menu, e) : 0;

	if (rc < 0)
		return rc;
	x->place = sys_menu_place(&s->root, &menu);
	x->none = !boot_counts(&x->place);
	return 0;
}

/* Fails quietly: what is not mounted is said by whoever writes there. */
static void measure_partition(const struct switcher *s, struct status *x)
{
	struct statvfs fs;

	if (x->place.type != BOOT_EFI && x->place.type != BOOT_EXTLINUX)
		return;
	(void)snprintf(x->boot_dir, sizeof(x->boot_dir), "%s%s", s->root.target, x->place.dir);
	if (statvfs(x->boot_dir, &fs) < 0) {
		x->boot_dir[0] = '\0';
		return;
	}
	x->boot_used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
	x->boot_free = (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* What is tested is no generation. */
static void find_active(struct switcher *s, struct status *x)
{
	struct err ignored = ERR_INIT;

	if (gen_running(&s->root, GEN_CURRENT_LINK, &s->arena, &x->active_system, &ignored) < 0 ||
	    switcher_find_active(s, &x->active, &ignored) < 0)
		x->active_system = NULL;
}

/* Fails quietly: a generation that is damaged is no reason to say nothing of the others. */
static void compare(struct switcher *s, struct status *x)
{
	const struct gen *next = gen_find(&s->list, x->next);
	struct err ignored = ERR_INIT;

	x->reboot_known = s->booted && next &&
			  plan_reboot_reasons(&s->root, &s->arena, s->booted, next->path,
					      &x->differ, &ignored) == 0;
}

/* What the machine's own PID 1 says, if it answers. */
static void ask_init(struct switcher *s, struct status *x)
{
	struct err ignored = ERR_INIT;

	x->armed = s->unconfirmed && confirm_is_armed(&s->confirm);
	if (sys_root_is_machine(&s->root) && live_is_running())
		(void)live_stale(&s->arena, &x->stale, &ignored);
}

static int status_load(struct switcher *s, struct status *x, struct err *e)
{
	int rc = find_loader(s, x, e);

	if (rc == 0 && !x->none)
		rc = boot_count_load(&x->place, &x->count, e);
	if (rc == 0)
		rc = boot_menu_default(&x->place, &x->def, e);
	if (rc == 0 && gen_find(&s->list, x->count.good))
		rc = boot_menu_has(&x->place, x->count.good, &x->falls_back, e);
	if (rc < 0)
		return rc;
	x->booted = booted_number(s, &x->count);
	x->current = s->list.current;
	if (!x->none && x->place.type == BOOT_NONE)
		x->def = x->current; /* stage 1 asks the profile */
	x->next = x->def ? x->def : x->none ? x->current : 0;
	if (x->def && x->count.trial == x->def && x->count.left == 0 && x->falls_back)
		x->next = x->count.good;
	x->fell_back = !x->none && x->next != x->def && x->booted != x->def;
	compare(s, x);
	find_active(s, x);
	measure_partition(s, x);
	return 0;
}

/* ---- Showing -----------------------------------------------------------------------------------
 */

static void line(struct str *out, const char *what, unsigned number, const char *otherwise)
{
	str_addf(out, "%-12s ", what);
	if (number)
		str_addf(out, "generation %u\n", number);
	else
		str_addf(out, "%s\n", otherwise);
}

static void show_count(struct str *out, const struct status *x)
{
	line(out, x->place.type == BOOT_NONE ? "default" : "menu starts", x->def,
	     "nothing: there is no menu");
	if (x->count.good && !x->falls_back)
		str_addf(out, "%-12s generation %u, which is not in the menu\n", "last good",
			 x->count.good);
	else
		line(out, "last good", x->count.good, "none yet");
	if (x->count.trial)
		str_addf(out, "%-12s generation %u, %u of %d tries left\n", "on trial",
			 x->count.trial, x->count.left, BOOT_TRIES);
	else
		line(out, "on trial", 0, "nothing");
	line(out, "next boot", x->next, "not known");
	if (x->fell_back)
		str_addf(out, "%-12s generation %u did not come up in %d tries\n", "fell back",
			 x->def, BOOT_TRIES);
}

static void show_pinned(struct str *out, const struct switcher *s)
{
	bool first = true;

	for (size_t i = 0; i < s->list.n; i++) {
		if (!s->list.v[i].pinned)
			continue;
		if (first)
			str_addf(out, "%-12s generation %u", "pinned", s->list.v[i].number);
		else
			str_addf(out, ", %u", s->list.v[i].number);
		first = false;
	}
	if (!first)
		str_addc(out, '\n');
}

static void show_text(struct str *out, const struct switcher *s, const struct status *x)
{
	char used[16], free[16];

	if (x->booted || !s->booted)
		line(out, "booted", x->booted, "not known");
	else
		str_addf(out, "%-12s %s, which is no generation\n", "booted", s->booted);
	line(out, "current", x->current, "none");
	if (x->active && x->active != x->current)
		line(out, "active", x->active, "");
	else if (!x->active && x->active_system)
		str_addf(out, "%-12s %s, which is no generation, until the next boot\n", "active",
			 x->active_system);
	if (s->unconfirmed && x->armed)
		str_addf(out, "%-12s generation %u, back to generation %u in %llu s\n",
			 "unconfirmed", (unsigned)s->confirm.to, (unsigned)s->confirm.from,
			 (unsigned long long)confirm_left(&s->confirm));
	else if (s->unconfirmed)
		str_addf(out, "%-12s generation %u; PID 1 does not go back by itself any more\n",
			 "unconfirmed", (unsigned)s->confirm.to);
	show_pinned(out, s);
	for (size_t i = 0; i < x->stale.n; i++)
		str_addf(out, "%-12s %s runs with an older definition until it is restarted\n",
			 i ? "" : "services", (const char *)x->stale.v[i]);
	if (x->none)
		str_addf(out, "%-12s %s: boots are not counted\n", "boot loader",
			 boot_type_name(x->place.type));
	else
		show_count(out, x);
	if (x->boot_dir[0]) {
		text_human(x->boot_used, used);
		text_human(x->boot_free, free);
		str_addf(out, "%-12s %s, %s used, %s free\n", "boot files", x->boot_dir, used,
			 free);
	}
	str_addf(out, "%-12s %s", "reboot", x->differ.reboot.n ? "needed for: " : "");
	for (size_t i = 0; i < x->differ.reboot.n; i++)
		str_addf(out, "%s%s", i ? ", " : "", (const char *)x->differ.reboot.v[i]);
	if (!x->differ.reboot.n)
		str_add(out, x->reboot_known ? "not needed" : "not known");
	str_addc(out, '\n');
}

static void json_number(struct str *out, const char *key, unsigned number)
{
	str_addf(out, ",\"%s\":", key);
	if (number)
		str_addf(out, "%u", number);
	else
		str_add(out, "null");
}

static void show_json(struct str *out, const struct switcher *s, const struct status *x)
{
	str_addf(out, "{\"boot_loader\":\"%s\"", boot_type_name(x->place.type));
	json_number(out, "booted", x->booted);
	str_add(out, ",\"booted_system\":");
	if (s->booted)
		text_json(out, slice_of(s->booted));
	else
		str_add(out, "null");
	json_number(out, "current", x->current);
	json_number(out, "active", x->active);
	str_add(out, ",\"active_system\":");
	if (x->active_system)
		text_json(out, slice_of(x->active_system));
	else
		str_add(out, "null");
	str_add(out, ",\"boot_directory\":");
	if (x->boot_dir[0]) {
		text_json(out, slice_of(x->boot_dir));
		str_addf(out, ",\"boot_used\":%llu,\"boot_free\":%llu",
			 (unsigned long long)x->boot_used, (unsigned long long)x->boot_free);
	} else {
		str_add(out, "null,\"boot_used\":null,\"boot_free\":null");
	}
	json_number(out, "default", x->def);
	json_number(out, "next", x->next);
	json_number(out, "good", x->count.good);
	json_number(out, "trial", x->count.trial);
	str_add(out, ",\"tries_left\":");
	str_addf(out, x->count.trial ? "%u" : "null", x->count.left);
	json_number(out, "unconfirmed", s->unconfirmed ? (unsigned)s->confirm.to : 0);
	json_number(out, "revert_to", x->armed ? (unsigned)s->confirm.from : 0);
	str_add(out, ",\"revert_in\":");
	if (x->armed)
		str_addf(out, "%llu", (unsigned long long)confirm_left(&s->confirm));
	else
		str_add(out, "null");
	str_add(out, ",\"pinned\":[");
	for (size_t i = 0, k = 0; i < s->list.n; i++)
		if (s->list.v[i].pinned)
			str_addf(out, "%s%u", k++ ? "," : "", s->list.v[i].number);
	str_add(out, "],\"stale_services\":[");
	for (size_t i = 0; i < x->stale.n; i++) {
		str_add(out, i ? "," : "");
		text_json(out, slice_of(x->stale.v[i]));
	}
	str_addf(out, "],\"falls_back\":%s,\"fell_back\":%s,\"reboot\":",
		 x->falls_back ? "true" : "false", x->fell_back ? "true" : "false");
	str_add(out, x->reboot_known ? "[" : "null");
	for (size_t i = 0; x->reboot_known && i < x->differ.reboot.n; i++) {
		str_add(out, i ? "," : "");
		text_json(out, slice_of(x->differ.reboot.v[i]));
	}
	str_add(out, x->reboot_known ? "]}\n" : "}\n");
}

static int run_status(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	auto_str struct str out = STR_INIT;
	struct status x = STATUS_INIT;
	int rc = switcher_open(&s, &c->sw, "status", false, e);

	if (rc == 0)
		rc = status_load(&s, &x, e);
	if (rc == 0)
		ask_init(&s, &x);
	if (rc == 0 && !x.none && boot_count_is_damaged(&x.place))
		fputs("warning: the environment block of the boot loader (grubenv) is damaged, so "
		      "nobody counts boots [the next switch, or cairn system mark-good, makes it "
		      "anew]\n",
		      stderr);
	if (rc == 0 && c->sw.json)
		show_json(&out, &s, &x);
	else if (rc == 0)
		show_text(&out, &s, &x);
	status_done(&x);
	if (rc < 0)
		return rc;
	if (str_err(&out))
		return err_set(e, -ENOMEM, "out of memory");
	fputs(out.buf, stdout);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* ---- mark-good ---------------------------------------------------------------------------------
 */

static int mark_good(struct switcher *s, struct err *e)
{
	struct status x = STATUS_INIT;
	int rc = status_load(s, &x, e);

	status_done(&x);
	if (rc < 0)
		return rc;
	if (x.none || !x.def) {
		puts(x.none ? "boots are not counted"
			    : "there is no boot menu: boots are not counted");
		return 0;
	}
	if (!x.booted)
		return err_set(e, -ERR_NOTFOUND, "%s is no generation of this machine",
			       s->booted ? s->booted : GEN_BOOTED_LINK);
	if (x.count.good != x.booted && sys_root_is_machine(&s->root) && live_has_crashed())
		return err_hint(e,
				err_set(e, -ERR_UNHEALTHY,
					"PID 1 crashed since this machine "
					"started: generation %u is not good",
					x.booted),
				"cairn service log kernel says when");
	struct err tmp = ERR_INIT;
	rc = boot_mark_good(&x.place, x.booted, &tmp);
	if (rc == -EROFS) {
		puts("the root file system is not written: boots are not counted");
		return 0;
	}
	if (rc < 0) {
		*e = tmp;
		return rc;
	}
	printf("generation %u is good%s\n", x.booted,
	       x.count.good == x.booted ? ", as before" : "");
	if (x.fell_back)
		printf("generation %u did not come up in %d tries: the machine went back to this "
		       "one\n",
		       x.def, BOOT_TRIES);
	return 0;
}

/* PID 1 ends the gate when one of its services goes down meanwhile. At the end it is asked for any
 * answer: one that hangs gives none until the watchdog resets the machine. */
static int hold(uint64_t seconds, struct err *e)
{
	struct timespec left = { .tv_sec = (time_t)MIN_OF(seconds, LONGEST_HOLD) };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	return live_is_running() ? live_answers(e) : 0;
}

/* Would it be news that the generation came up? What cannot be read is looked at again, after the
 * hold. */
static bool is_new(const struct switcher_opts *o)
{
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct status x = STATUS_INIT;
	struct err ignored = ERR_INIT;
	bool known = switcher_open(&s, o, "mark-good", false, &ignored) == 0 &&
		     status_load(&s, &x, &ignored) == 0;
	bool counted = !x.none && x.def;

	status_done(&x);
	return !known || (counted && x.booted && x.count.good != x.booted);
}

/* Without the lock of the machine: a boot must not wait for an update that happens to run, whose
 * builds may take hours, nor be taken for one that failed. What it changes, the environment block,
 * has a lock of its own, for moments; and the booted generation is deleted by nobody. */
static int run_mark_good(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	int rc = c->hold && is_new(&c->sw) ? hold(c->hold, e) : 0;

	if (rc == 0)
		rc = switcher_open(&s, &c->sw, "mark-good", false, e);
	if (rc == 0)
		rc = mark_good(&s, e);
	if (rc == 0 && fflush(stdout) == EOF)
		rc = err_sys(e, "standard output");
	return rc;
}

/* ---- Tables ------------------------------------------------------------------------------------
 */

static const struct cmd_opt status_opts[] = {
	SWITCHER_OPTIONS(struct ctx, sw),
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL, "as JSON" },
};

const struct cmd sys_cmd_status = {
	.name = "status",
	.summary = "show what is booted, what boots next, and what came up well last",
	.examples = "cairn system status --json",
	.help = "A generation that is new gets 3 boots to come up; after that the boot loader\n"
		"starts the one that came up well last. 'current' is the generation of the last\n"
		"switch, which is what 'menu starts' unless a switch was cut off.",
	CMD_OPTS(status_opts),
	.context_size = sizeof(struct ctx),
	.statuses = &sys_statuses,
	.run = run_status,
};

static const struct cmd_opt mark_opts[] = {
	SWITCHER_OPTIONS(struct ctx, sw),
	{ "hold", 0, CMD_U64, offsetof(struct ctx, hold), "SECONDS",
	  "after so long, and when PID 1 answers" },
};

const struct cmd sys_cmd_mark_good = {
	.name = "mark-good",
	.summary = "tell the boot loader that the booted generation came up well",
	CMD_OPTS(mark_opts),
	.context_size = sizeof(struct ctx),
	.run = run_mark_good,
	.hidden = true,
};
