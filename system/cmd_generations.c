/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system list-generations, describe, delete-generations, pin, unpin, label. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "lib/text.h"
#include "system/channel.h"
#include "system/keep.h"
#include "system/menu.h"
#include "system/notes.h"
#include "system/system.h"

struct ctx {
	struct switcher_opts sw;
};

/* ---- Showing -----------------------------------------------------------------------------------
 */

static void date_text(int64_t seconds, char out[32])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, 32, "%lld", (long long)seconds);
}

struct shown {
	const struct gen *g;
	struct gen_facts facts;
	bool current, booted, broken;
	bool pulled; /* its modules are of a channel: */
	struct channel channel;
};

static void load_shown(struct switcher *s, const struct gen *g, struct shown *ret)
{
	struct err tmp = ERR_INIT;

	*ret = (struct shown){ .g = g,
			       .current = g->number == s->list.current,
			       .booted = s->booted && strcmp(s->booted, g->path) == 0 };
	ret->broken = gen_check(&s->root, g->path, &tmp) < 0 ||
		      gen_facts_load(&s->root, &s->arena, g->path, &ret->facts, &tmp) < 0;
	ret->pulled = !ret->broken && channel_of(&s->root, &s->arena, g->path, &ret->channel) == 0;
}

static void show_text(const struct switcher *s, const struct shown *x)
{
	char date[32];

	if (x->g->date)
		date_text(x->g->date, date);
	printf("generation %u  %s%s%s%s%s%s\n", x->g->number,
	       x->g->date ? date : "(with the image)", x->current ? "  current" : "",
	       x->booted ? "  booted" : "", x->g->pinned ? "  pinned" : "",
	       x->g->tried ? "  not confirmed" : "", x->broken ? "  broken" : "");
	printf("  link           %s" GEN_PROFILES "/system-%u-link\n", s->root.target,
	       x->g->number);
	printf("  system         %s\n", x->g->path);
	if (x->broken)
		return;
	printf("  label          %s\n", x->g->label[0] ? x->g->label : x->facts.label);
	printf("  host name      %s\n", x->facts.host_name);
	printf("  kernel         %s\n", x->facts.kernel);
	printf("  configuration  %s/%s\n", x->g->path, x->facts.configuration);
	if (!x->pulled)
		return;
	date_text((int64_t)x->channel.date, date);
	printf("  channel        %s number %llu of %s\n", x->channel.name,
	       (unsigned long long)x->channel.serial, date);
	printf("  pulled from    %s, signed by %s\n", x->channel.url, x->channel.key);
}

static void field(struct str *out, const char *key, const char *value)
{
	str_addc(out, ',');
	text_json(out, slice_of(key));
	str_addc(out, ':');
	text_json(out, slice_of(value));
}

static void show_json(struct str *out, const struct shown *x)
{
	char date[24];

	(void)snprintf(date, sizeof(date), "%lld", (long long)x->g->date);
	str_addf(out,
		 "{\"generation\":%u,\"date\":%s,\"current\":%s,\"booted\":%s,\"pinned\":%s,"
		 "\"tried\":%s,\"broken\":%s",
		 x->g->number, x->g->date ? date : "null", x->current ? "true" : "false",
		 x->booted ? "true" : "false", x->g->pinned ? "true" : "false",
		 x->g->tried ? "true" : "false", x->broken ? "true" : "false");
	field(out, "system", x->g->path);
	if (!x->broken) {
		field(out, "label", x->g->label[0] ? x->g->label : x->facts.label);
		field(out, "host_name", x->facts.host_name);
		field(out, "kernel", x->facts.kernel);
	}
	if (x->pulled) {
		str_add(out, ",\"channel\":");
		channel_json(&x->channel, out);
	}
	str_addc(out, '}');
}

static int end_output(struct err *e)
{
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* Struct keep_pattern in arena. */
static int parse_patterns(struct cmd_env *env, struct arena *a, struct keep_pattern **ret,
			  struct err *e)
{
	struct keep_pattern *p = arena_array(a, env->nargs + 1, sizeof(*p));
	int rc = p ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (size_t i = 0; rc == 0 && i < env->nargs; i++)
		rc = keep_pattern_parse(env->args[i], &p[i], e);
	*ret = p;
	return rc;
}

/* Is it in one of the patterns; *ret_number: in one that names it by number? */
static bool has_pattern(const struct keep_pattern *p, size_t n, const struct gen *g,
			bool *ret_number)
{
	bool found = false;

	*ret_number = false;
	for (size_t i = 0; i < n; i++) {
		bool hit = keep_pattern_has(&p[i], g, (int64_t)time(NULL));

		found = found || hit;
		*ret_number = *ret_number || (hit && !p[i].by_age);
	}
	return found;
}

static int run_list(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	auto_str struct str json = STR_INIT;
	struct keep_pattern *patterns;
	bool first = true, ignored;
	int rc = switcher_open(&s, &c->sw, "list-generations", false, e);

	if (rc == 0)
		rc = parse_patterns(env, &s.arena, &patterns, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s.list.n; i++) {
		struct shown x;

		if (env->nargs && !has_pattern(patterns, env->nargs, &s.list.v[i], &ignored))
			continue;
		load_shown(&s, &s.list.v[i], &x);
		str_add(&json, first ? "" : ",\n");
		first = false;
		if (c->sw.json)
			show_json(&json, &x);
		else
			show_text(&s, &x);
	}
	if (str_err(&json))
		return err_set(e, -ENOMEM, "out of memory");
	if (c->sw.json)
		printf("[%s]\n", json.buf ? json.buf : "");
	return end_output(e);
}

static int number_arg(const char *text, unsigned *ret, struct err *e)
{
	uint64_t number;

	if (text_u64(slice_of(text), GEN_NUMBER_MAX, &number) < 0 || number == 0)
		return cmd_usage(e, "'%s' is not the number of a generation", text);
	*ret = (unsigned)number;
	return 0;
}

static int run_describe(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	auto_str struct str json = STR_INIT;
	unsigned number = 0;
	const struct gen *g;
	struct shown x;
	int rc = env->nargs ? number_arg(env->args[0], &number, e) : 0;

	if (rc == 0)
		rc = switcher_open(&s, &c->sw, "describe", false, e);
	if (rc < 0)
		return rc;
	g = number ? gen_find(&s.list, number) : gen_current(&s.list);
	if (!g && number)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u", number);
	if (!g)
		return err_set(e, -ERR_NOTFOUND, "there is no current generation");
	load_shown(&s, g, &x);
	if (!c->sw.json) {
		show_text(&s, &x);
		return end_output(e);
	}
	show_json(&json, &x);
	if (str_err(&json))
		return err_set(e, -ENOMEM, "out of memory");
	printf("%s\n", json.buf);
	return end_output(e);
}

/* ---- delete-generations ------------------------------------------------------------------------
 */

struct choice {
	struct gen_list go, stay;
	struct str kept; /* rows of JSON */
};

/* A generation that would go stays. */
static void keep_back(const struct ctx *c, struct choice *x, const struct gen *g, const char *why)
{
	x->stay.v[x->stay.n++] = *g;
	str_addf(&x->kept, "%s{\"generation\":%u,\"why\":\"%s\"}", x->kept.len ? "," : "",
		 g->number, why);
	if (!c->sw.json)
		fprintf(stderr, "generation %u stays: it is %s\n", g->number, why);
}

/* Generations to delete and those that stay. Who names by number one that is needed is wrong; what
 * is only old, or not named at all, stays when it is needed. */
static int choose(struct cmd_env *env, struct switcher *s, struct choice *x, struct err *e)
{
	struct keep_pattern *patterns;
	struct keep keep;
	int rc = parse_patterns(env, &s->arena, &patterns, e);

	for (size_t i = 0; rc == 0 && i < env->nargs; i++)
		rc = patterns[i].by_age ? keep_check_clock(e)
					: keep_pattern_check(&patterns[i], &s->list, e);
	if (rc == 0)
		rc = keep_load(s, &keep, e);
	for (size_t i = 0; rc == 0 && i < s->list.n; i++) {
		const struct gen *g = &s->list.v[i];
		const char *needed = keep_needed(&keep, g);
		bool by_number = false;
		bool wanted = !env->nargs || has_pattern(patterns, env->nargs, g, &by_number);

		if (wanted && needed && by_number)
			return err_set(e, -ERR_IN_USE, "generation %u is %s and cannot be deleted",
				       g->number, needed);
		if (wanted && needed)
			keep_back(env->ctx, x, g, needed);
		else if (wanted)
			x->go.v[x->go.n++] = *g;
		else
			x->stay.v[x->stay.n++] = *g;
	}
	return rc;
}

static int report_deleted(const struct ctx *c, const struct choice *x, struct err *e)
{
	auto_str struct str out = STR_INIT;

	keep_tell_gone(&x->go, c->sw.dry_run, c->sw.json, &out);
	if (str_err(&out) || str_err(&x->kept))
		return err_set(e, -ENOMEM, "out of memory");
	if (c->sw.json)
		printf("{\"dry_run\":%s,\"deleted\":[%s],\"kept\":[%s]}\n",
		       c->sw.dry_run ? "true" : "false", out.buf ? out.buf : "",
		       x->kept.buf ? x->kept.buf : "");
	else
		fputs(out.buf ? out.buf : "", stdout);
	return end_output(e);
}

static int run_delete(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct choice x = { .kept = STR_INIT };
	struct err ignored = ERR_INIT;
	int rc = switcher_open(&s, &c->sw, "delete-generations", !c->sw.dry_run, e), said;

	if (rc < 0)
		return rc;
	switcher_report_recovery(&s);
	x.go.v = arena_array(&s.arena, s.list.n + 1, sizeof(*x.go.v));
	x.stay.v = arena_array(&s.arena, s.list.n + 1, sizeof(*x.stay.v));
	x.stay.current = s.list.current;
	rc = x.go.v && x.stay.v ? choose(env, &s, &x, e) : err_set(e, -ENOMEM, "out of memory");
	if (rc == 0)
		switcher_report_damaged(&s, &x.stay);
	if (rc == 0 && !c->sw.dry_run)
		rc = keep_delete(&s, &x.go, &x.stay, e);
	if (rc == 0 || rc == -ERR_PARTIAL) {
		said = report_deleted(c, &x, rc < 0 ? &ignored : e);
		if (rc == 0 && said < 0)
			rc = c->sw.dry_run ? said : err_wrap(e, -ERR_PARTIAL, "they are gone, but");
	}
	str_done(&x.kept);
	return rc;
}

/* ---- pin, unpin, label -------------------------------------------------------------------------
 */

/* The one that the first operand names, or the current one. */
static int find_noted(struct cmd_env *env, struct switcher *s, const char *verb, struct gen **ret,
		      struct err *e)
{
	const struct ctx *c = env->ctx;
	unsigned number = 0;
	const struct gen *g;
	int rc = env->nargs ? number_arg(env->args[0], &number, e) : 0;

	if (rc == 0)
		rc = switcher_open(s, &c->sw, verb, !c->sw.dry_run, e);
	if (rc < 0)
		return rc;
	switcher_report_recovery(s);
	number = number ? number : s->list.current;
	g = gen_find(&s->list, number);
	if (!g)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u", number);
	*ret = &s->list.v[g - s->list.v];
	return 0;
}

static int report_noted(const struct ctx *c, const struct gen *g, struct err *e)
{
	auto_str struct str out = STR_INIT;

	str_addf(&out, "{\"generation\":%u,\"pinned\":%s", g->number, g->pinned ? "true" : "false");
	field(&out, "noted_label", g->label);
	str_add(&out, "}");
	if (str_err(&out))
		return err_set(e, -ENOMEM, "out of memory");
	if (c->sw.json)
		printf("%s\n", out.buf);
	else if (g->label[0])
		printf("generation %u  %s  %s\n", g->number, g->pinned ? "pinned" : "not pinned",
		       g->label);
	else
		printf("generation %u  %s\n", g->number, g->pinned ? "pinned" : "not pinned");
	return end_output(e);
}

static int save(const struct ctx *c, struct switcher *s, struct err *e)
{
	auto_vec struct vec notes = VEC_INIT;
	/* What cannot be read is not written over. */
	int rc = notes_load(&s->root, &s->arena, &notes, e);

	return rc < 0 || c->sw.dry_run ? rc : notes_save(&s->root, &s->list, e);
}

static int set_pin(struct cmd_env *env, bool pinned, struct err *e)
{
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct gen *g;
	int rc = find_noted(env, &s, pinned ? "pin" : "unpin", &g, e);

	if (rc < 0)
		return rc;
	g->pinned = pinned;
	rc = save(env->ctx, &s, e);
	return rc == 0 ? report_noted(env->ctx, g, e) : rc;
}

static int run_pin(struct cmd_env *env, struct err *e)
{
	return set_pin(env, true, e);
}

static int run_unpin(struct cmd_env *env, struct err *e)
{
	return set_pin(env, false, e);
}

/* The menu names it, too; what the menu cannot have is not noted. */
static int run_label(struct cmd_env *env, struct err *e)
{
	const struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct err ignored = ERR_INIT;
	const char *before;
	struct gen *g;
	int rc = find_noted(env, &s, "label", &g, e);

	if (rc == 0 && env->args[1][0])
		rc = boot_label_check(env->args[1], e);
	if (rc < 0)
		return rc;
	switcher_report_damaged(&s, &s.list);
	before = g->label;
	g->label = env->args[1];
	rc = save(c, &s, e);
	if (rc == 0 && !c->sw.dry_run && s.list.current)
		rc = sys_menu_write(&s.root, &s.list, s.list.current, 0, e);
	if (rc == 0)
		return report_noted(c, g, e);
	g->label = before;
	(void)save(c, &s, &ignored);
	return rc;
}

/* ---- Tables ------------------------------------------------------------------------------------
 */

#define COMMON_OPTS                                                                                \
	{ "root",  0,                                                                              \
	  CMD_STR, offsetof(struct ctx, sw.store.root),                                            \
	  "DIR",   "private root: store at DIR/gnu/store" },                                       \
		SWITCHER_OPTIONS(struct ctx, sw)

static const struct cmd_opt show_opts[] = {
	COMMON_OPTS,
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL, "as JSON" },
};

#define JSON                                                                                       \
	{                                                                                          \
		"json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL,                          \
			"what came of it as JSON"                                                  \
	}

static const struct cmd_opt delete_opts[] = {
	COMMON_OPTS,
	JSON,
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct ctx, sw.dry_run), NULL,
	  "say what would go, delete nothing" },
};

static const struct cmd_opt note_opts[] = {
	COMMON_OPTS,
	JSON,
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct ctx, sw.dry_run), NULL,
	  "say what would be noted, change nothing" },
};

const struct cmd sys_cmd_list_generations = {
	.name = "list-generations",
	.synopsis = "[PATTERN]...",
	.summary = "list the generations of this machine",
	.examples = "cairn system list-generations --json",
	.help = "PATTERN is as for 'delete-generations'; without one all are listed.",
	CMD_OPTS(show_opts),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.statuses = &sys_statuses,
	.run = run_list,
};

const struct cmd sys_cmd_describe = {
	.name = "describe",
	.synopsis = "[NUMBER]",
	.summary = "show the current generation, or another one",
	.examples = "cairn system describe 7",
	CMD_OPTS(show_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_describe,
};

const struct cmd sys_cmd_delete_generations = {
	.name = "delete-generations",
	.synopsis = "[PATTERN]...",
	.summary = "delete generations, and their entries in the boot menu",
	.examples =
		"cairn system delete-generations -n 30d    which were made more than 30 days ago\n"
		"cairn system delete-generations 2..5",
	.help = "PATTERN is a number, a range such as 2..5, a list of both with commas, or an age: "
		"10d,\n"
		"2w, 2m (months of 30 days), 1y are those that are older. Without one all go but "
		"the\n"
		"current, the active, the booted, the last good one, those of a trial with "
		"--confirm,\n"
		"and those that are pinned.\n"
		"These are never deleted. 'cairn system gc' frees the space, too.",
	CMD_OPTS(delete_opts),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.statuses = &sys_statuses,
	.run = run_delete,
};

const struct cmd sys_cmd_pin = {
	.name = "pin",
	.synopsis = "[NUMBER]",
	.summary = "keep the current generation, or another one, from being deleted",
	.examples = "cairn system pin 7    it is never deleted",
	CMD_OPTS(note_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_pin,
};

const struct cmd sys_cmd_unpin = {
	.name = "unpin",
	.synopsis = "[NUMBER]",
	.summary = "end what 'pin' began",
	.examples = "cairn system unpin 7",
	CMD_OPTS(note_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_unpin,
};

const struct cmd sys_cmd_label = {
	.name = "label",
	.synopsis = "NUMBER TEXT",
	.summary = "call a generation TEXT in lists and in the boot menu",
	.examples = "cairn system label 7 'before the new kernel'",
	.help = "An empty TEXT gives it back the label of its configuration.",
	CMD_OPTS(note_opts),
	.context_size = sizeof(struct ctx),
	.min_args = 2,
	.max_args = 2,
	.statuses = &sys_statuses,
	.run = run_label,
};
