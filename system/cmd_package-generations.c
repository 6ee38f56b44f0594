/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn package roll-back, switch-generation, delete-generations. */
#include "system/cmd_package.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "lib/text.h"

/* "7", or "+1" and "-2": so many further, among those that are there. */
static int parse_generation(const struct package_env *p, const char *text, unsigned *ret,
			    struct err *e)
{
	const struct vec *gens = &p->profile.gens;
	bool relative = text[0] == '+' || text[0] == '-';
	uint64_t n;

	if (text_u64(slice_of(text + relative), LINKS_NUMBER_MAX, &n) < 0 || n == 0)
		return cmd_usage(e, "'%s' is not the number of a generation", text);
	*ret = (unsigned)n;
	for (size_t i = 0; i < gens->n; i++) {
		const struct links_item *g = gens->v[i];
		bool there = text[0] == '+' ? n < gens->n - i : n <= i;

		if (!relative && g->number == n)
			return 0;
		if (!relative || g->number != p->profile.current || !there)
			continue;
		g = gens->v[text[0] == '+' ? i + n : i - n];
		*ret = g->number;
		return 0;
	}
	return err_set(e, -ERR_NOTFOUND, "%s/%s: there is no generation %s", p->profile.links.dir,
		       p->profile.links.name, text);
}

static int print(const struct str *out, struct err *e)
{
	if (str_err(out))
		return err_set(e, -ENOMEM, "out of memory");
	fputs(out->buf, stdout);
	return package_end_output(e);
}

static void tell_switched(const struct package_ctx *c, unsigned from, unsigned to, const char *path,
			  struct str *out)
{
	if (!c->json) {
		str_addf(out, "%s from generation %u to %u\n",
			 c->dry_run ? "would switch" : "switched", from, to);
		return;
	}
	str_addf(out, "{\"dry_run\":%s,\"from\":%u,\"to\":%u,\"profile\":",
		 c->dry_run ? "true" : "false", from, to);
	text_json(out, slice_of(path));
	str_add(out, "}\n");
}

static int switch_to(struct cmd_env *env, const char *verb, const char *text, struct err *e)
{
	struct package_ctx *c = env->ctx;
	struct package_env p = PACKAGE_ENV_INIT;
	auto_str struct str out = STR_INIT;
	unsigned number = 0;
	int r = package_open(&p, c, !c->dry_run, verb, e);
	unsigned from = p.profile.current;

	if (r == 0)
		r = parse_generation(&p, text, &number, e);
	if (r == 0 && !c->dry_run)
		r = profile_select(&p.profile, number, e);
	for (size_t i = 0; r == 0 && i < p.profile.gens.n; i++) {
		const struct links_item *g = p.profile.gens.v[i];

		if (g->number == number)
			tell_switched(c, from, number, g->path, &out);
	}
	profile_done(&p.profile);
	return r < 0 ? r : print(&out, e);
}

static int run_roll_back(struct cmd_env *env, struct err *e)
{
	return switch_to(env, "package roll-back", "-1", e);
}

static int run_switch(struct cmd_env *env, struct err *e)
{
	return switch_to(env, "package switch-generation", env->args[0], e);
}

/* Whether a generation is to go. Who names the current one by number is refused; with an age it
 * stays. */
static int is_doomed(const struct cmd_env *env, const struct package_env *p,
		     const struct links_item *g, bool *ret, struct err *e)
{
	bool current = g->number && g->number == p->profile.current;
	int r = 0;

	*ret = env->nargs == 0 && !current;
	for (size_t i = 0; r == 0 && i < env->nargs; i++) {
		bool hit = false;

		if (profile_pattern_is_age(env->args[i]))
			r = store_clock_check(e);
		if (r < 0)
			break;

		r = profile_matches(g, env->args[i], time(NULL), &hit, e);
		if (r < 0 || !hit || (current && profile_pattern_is_age(env->args[i])))
			continue;
		if (current)
			r = err_set(e, -ERR_IN_USE,
				    "generation %u is the current one and cannot be deleted",
				    g->number);
		*ret = true;
	}
	return r;
}

/* A generation that is named by its number, not in a range, must be there. */
static int check_named(const struct package_env *p, const char *pattern, struct err *e)
{
	struct slice rest = slice_of(pattern), part;
	uint64_t number;

	while (slice_cut(&rest, ',', &part))
		if (text_u64(part, LINKS_NUMBER_MAX, &number) == 0 &&
		    !profile_find(&p->profile, (unsigned)number))
			return err_set(e, -ERR_NOTFOUND, "there is no generation %u",
				       (unsigned)number);
	return 0;
}

/* All that are to go, before the first one does. */
static int find_doomed(const struct cmd_env *env, const struct package_env *p, struct vec *ret,
		       struct err *e)
{
	const struct links_item none = { 0 };
	bool hit = false;
	int r = is_doomed(env, p, &none, &hit, e); /* a pattern is wrong also where nothing is */

	for (size_t i = 0; r == 0 && i < env->nargs; i++)
		r = check_named(p, env->args[i], e);
	for (size_t i = 0; r == 0 && i < p->profile.gens.n; i++) {
		r = is_doomed(env, p, p->profile.gens.v[i], &hit, e);
		if (hit)
			vec_add(ret, p->profile.gens.v[i]);
	}
	return r < 0 ? r : ret->err ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static void tell_deleted(const struct package_ctx *c, const struct links_item *g, bool first,
			 struct str *out)
{
	if (!c->json) {
		str_addf(out, "%s generation %u\t%s\n", c->dry_run ? "would delete" : "deleted",
			 g->number, g->path);
		return;
	}
	str_addf(out, "%s{\"generation\":%u,\"profile\":", first ? "" : ",", g->number);
	text_json(out, slice_of(g->path));
	str_addc(out, '}');
}

/* Told in out as they go, also before one that cannot. */
static int delete_all(const struct package_ctx *c, struct package_env *p, const struct vec *doomed,
		      struct str *out, struct err *e)
{
	int r = 0;

	if (c->json)
		str_addf(out, "{\"dry_run\":%s,\"deleted\":[", c->dry_run ? "true" : "false");
	for (size_t i = 0; r == 0 && i < doomed->n; i++) {
		const struct links_item *g = doomed->v[i];

		if (!c->dry_run)
			r = profile_remove(&p->profile, g->number, e);
		if (r == 0)
			tell_deleted(c, g, i == 0, out);
	}
	if (c->json)
		str_add(out, "]}\n");
	return r;
}

static int run_delete(struct cmd_env *env, struct err *e)
{
	struct package_ctx *c = env->ctx;
	struct package_env p = PACKAGE_ENV_INIT;
	auto_str struct str out = STR_INIT;
	auto_vec struct vec doomed = VEC_INIT;
	struct err ignored = ERR_INIT;
	int r = package_open(&p, c, !c->dry_run, "package delete-generations", e);

	if (r == 0)
		r = find_doomed(env, &p, &doomed, e);
	if (r == 0)
		r = delete_all(c, &p, &doomed, &out, e);
	profile_done(&p.profile);
	if (r == 0)
		return print(&out, e);
	(void)print(&out, &ignored); /* r is what went wrong first */
	return r;
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

static const struct cmd_opt switch_opts[] = {
	PACKAGE_PROFILE,
	PACKAGE_DRY_RUN,
	PACKAGE_JSON,
	STORE_OPTIONS_BASIC(struct package_ctx, store),
};

/* Numbers mean something to the profile alone. */
static void no_operands(struct str *out)
{
	(void)out;
}

const struct cmd package_cmd_roll_back = {
	.name = "roll-back",
	.summary = "switch the profile to the generation before",
	.examples = "cairn package roll-back",
	CMD_OPTS(switch_opts),
	.context_size = sizeof(struct package_ctx),
	.run = run_roll_back,
};

const struct cmd package_cmd_switch_generation = {
	.name = "switch-generation",
	.synopsis = "NUMBER|+N|-N",
	.summary = "switch the profile to another generation",
	.examples = "cairn package switch-generation 4\n"
		    "cairn package switch-generation -1    the one before",
	.help = "+N and -N count from the current one.",
	.numbers = true,
	CMD_OPTS(switch_opts),
	.context_size = sizeof(struct package_ctx),
	.min_args = 1,
	.max_args = 1,
	.operands = no_operands,
	.run = run_switch,
};

const struct cmd package_cmd_delete_generations = {
	.name = "delete-generations",
	.synopsis = "[PATTERN]...",
	.summary = "delete generations of the profile",
	.examples = "cairn package delete-generations 30d     those made more than 30 days ago\n"
		    "cairn package delete-generations 2..5,9  these",
	.help = "PATTERN is a number, a range such as 2..5, a list of both with commas, or a\n"
		"duration: 30d means those made longer ago. Without one all go but the current\n"
		"one. 'cairn store gc' then frees the space.",
	CMD_OPTS(switch_opts),
	.context_size = sizeof(struct package_ctx),
	.max_args = SIZE_MAX,
	.operands = no_operands,
	.run = run_delete,
};
