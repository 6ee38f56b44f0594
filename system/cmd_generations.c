/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system list-generations, describe, delete-generations. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "lib/text.h"
#include "system/secrets.h"
#include "system/switcher.h"
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
};

static void load_shown(struct switcher *s, const struct gen *g, struct shown *ret)
{
	struct err tmp = ERR_INIT;

	*ret = (struct shown){ .g = g,
			       .current = g->number == s->list.current,
			       .booted = s->booted && strcmp(s->booted, g->path) == 0 };
	ret->broken = gen_check(&s->root, g->path, &tmp) < 0 ||
		      gen_facts_load(&s->root, &s->arena, g->path, &ret->facts, &tmp) < 0;
}

static void show_text(const struct switcher *s, const struct shown *x)
{
	char date[32];

	date_text(x->g->date, date);
	printf("generation %u  %s%s%s%s\n", x->g->number, date, x->current ? "  current" : "",
	       x->booted ? "  booted" : "", x->broken ? "  broken" : "");
	printf("  link           %s" GEN_PROFILES "/system-%u-link\n", s->root.target,
	       x->g->number);
	printf("  system         %s\n", x->g->path);
	if (x->broken)
		return;
	printf("  label          %s\n", x->facts.label);
	printf("  host name      %s\n", x->facts.host_name);
	printf("  kernel         %s\n", x->facts.kernel);
	printf("  configuration  %s/%s\n", x->g->path, x->facts.configuration);
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
	str_addf(out, "{\"generation\":%u,\"date\":%lld,\"current\":%s,\"booted\":%s,\"broken\":%s",
		 x->g->number, (long long)x->g->date, x->current ? "true" : "false",
		 x->booted ? "true" : "false", x->broken ? "true" : "false");
	field(out, "system", x->g->path);
	if (!x->broken) {
		field(out, "label", x->facts.label);
		field(out, "host_name", x->facts.host_name);
		field(out, "kernel", x->facts.kernel);
	}
	str_addc(out, '}');
}

static int end_output(struct err *e)
{
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static int run_list(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	auto_str struct str json = STR_INIT;
	int rc = switcher_open(&s, &c->sw, "list-generations", false, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s.list.n; i++) {
		struct shown x;

		load_shown(&s, &s.list.v[i], &x);
		str_add(&json, i ? ",\n" : "");
		if (c->sw.json)
			show_json(&json, &x);
		else
			show_text(&s, &x);
	}
	if (str_err(&json))
		return err_set(e, -ENOMEM, "out of memory");
	if (c->sw.json)
		printf("[%s]\n", json.buf);
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

struct range {
	uint64_t low, high;
};

/* "3" or "2..5" */
static int parse_range(struct slice s, struct range *ret)
{
	struct slice low = s, high = s;

	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] != '.' || s.p[i + 1] != '.')
			continue;
		low = (struct slice){ s.p, i };
		high = (struct slice){ s.p + i + 2, s.n - i - 2 };
		break;
	}
	if (text_u64(low, GEN_NUMBER_MAX, &ret->low) < 0 ||
	    text_u64(high, GEN_NUMBER_MAX, &ret->high) < 0 || ret->low == 0 || ret->low > ret->high)
		return -ERR_USAGE;
	return 0;
}

static int matches(const char *pattern, unsigned number, bool *ret, struct err *e)
{
	struct slice rest = slice_of(pattern), part;

	*ret = false;
	while (slice_cut(&rest, ',', &part)) {
		struct range r;

		if (parse_range(part, &r) < 0)
			return cmd_usage(e, "'%s' is not a list such as 3 or 1,2 or 4..7", pattern);
		*ret = *ret || (number >= r.low && number <= r.high);
	}
	return 0;
}

/* Why a generation cannot be deleted; NULL: it can. */
static const char *needed_as(const struct switcher *s, const struct boot_count *c,
			     const struct gen *g)
{
	if (g->number == s->list.current)
		return "the current one";
	if (s->booted && strcmp(s->booted, g->path) == 0)
		return "the one that runs";
	if (s->unconfirmed && (g->number == s->confirm.to || g->number == s->confirm.from))
		return g->number == s->confirm.to ? "the one that is tried out"
						  : "the one to go back to";
	return g->number == c->good ? "the one that the boot loader falls back to" : NULL;
}

static int load_count(struct switcher *s, struct boot_count *ret, struct err *e)
{
	struct sys_menu settings;
	const char *path = switcher_current(s);
	int rc = path ? sys_menu_load(&s->root, &s->arena, path, &settings, e) : 0;

	*ret = (struct boot_count){ 0 };
	if (rc < 0 || !path)
		return rc;
	struct boot_place place = sys_menu_place(&s->root, &settings);
	return boot_count_load(&place, ret, e);
}

/* Generations to delete and those that stay. Without patterns: all that are not needed. */
static int choose(struct cmd_env *env, struct switcher *s, struct gen_list *go,
		  struct gen_list *stay, struct err *e)
{
	struct boot_count count;
	int rc = load_count(s, &count, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->list.n; i++) {
		const struct gen *g = &s->list.v[i];
		const char *needed = needed_as(s, &count, g);
		bool wanted = env->nargs == 0 && !needed;

		for (size_t k = 0; k < env->nargs; k++) {
			bool hit;

			rc = matches(env->args[k], g->number, &hit, e);
			if (rc < 0)
				return rc;
			wanted = wanted || hit;
		}
		if (wanted && needed)
			return err_set(e, -ERR_IN_USE, "generation %u is %s and cannot be deleted",
				       g->number, needed);
		if (wanted)
			go->v[go->n++] = *g;
		else
			stay->v[stay->n++] = *g;
	}
	return 0;
}

/* The menu first: it never names a generation whose files may be collected. */
static int delete (struct cmd_env *env, struct switcher *s, struct err *e)
{
	struct ctx *c = env->ctx;
	struct gen_list go = { arena_array(&s->arena, s->list.n + 1, sizeof(*go.v)), 0, 0 };
	struct gen_list stay = { arena_array(&s->arena, s->list.n + 1, sizeof(*stay.v)), 0,
				 s->list.current };
	int rc;

	if (!go.v || !stay.v)
		return err_set(e, -ENOMEM, "out of memory");
	rc = choose(env, s, &go, &stay, e);
	if (rc == 0 && go.n && !c->sw.dry_run)
		rc = sys_menu_write(&s->root, &stay, s->list.current, 0, e);
	for (size_t i = 0; rc == 0 && i < go.n; i++) {
		if (!c->sw.dry_run)
			rc = gen_link_remove(&s->root, go.v[i].number, e);
		if (rc == 0)
			printf("%s generation %u\t%s\n", c->sw.dry_run ? "would delete" : "deleted",
			       go.v[i].number, go.v[i].path);
	}
	if (rc == 0 && !c->sw.dry_run)
		rc = secrets_prune(&s->root, e);
	return rc < 0 ? rc : end_output(e);
}

static int run_delete(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	int rc = switcher_open(&s, &c->sw, "delete-generations", true, e);

	return rc < 0 ? rc : delete (env, &s, e);
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

static const struct cmd_opt delete_opts[] = {
	COMMON_OPTS,
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct ctx, sw.dry_run), NULL,
	  "say what would go, delete nothing" },
};

const struct cmd sys_cmd_list_generations = {
	.name = "list-generations",
	.summary = "list the generations of this machine",
	CMD_OPTS(show_opts),
	.context_size = sizeof(struct ctx),
	.statuses = &sys_statuses,
	.run = run_list,
};

const struct cmd sys_cmd_describe = {
	.name = "describe",
	.synopsis = "[NUMBER]",
	.summary = "show the current generation, or another one",
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
	.help = "PATTERN is a number, a range such as 2..5, or a list of both with commas. "
		"Without\n"
		"one all go but the current, the booted and the last good one. 'cairn store gc'\n"
		"then frees the space.",
	CMD_OPTS(delete_opts),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.statuses = &sys_statuses,
	.run = run_delete,
};
