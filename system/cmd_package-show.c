/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn package list, list-generations, search, show, export-manifest. */
#include <ctype.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <time.h>

#include "lib/size.h"
#include "lib/text.h"
#include "system/cmd_package.h"
#include "system/packages.h"

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static void json_field(struct str *out, const char *key, const char *value)
{
	str_addf(out, "%s\"%s\":", out->len && out->buf[out->len - 1] == '{' ? "" : ",", key);
	text_json(out, slice_of(value));
}

static int print(const struct package_ctx *c, const struct str *out, struct err *e)
{
	if (str_err(out))
		return no_memory(e);
	printf(c->json ? "[%s]\n" : "%s", out->buf);
	return package_end_output(e);
}

/* ---- list, list-generations, export-manifest --------------------------------------------------
 */

static void add_entries(const struct package_ctx *c, const struct vec *entries, const char *indent,
			struct str *out)
{
	for (size_t i = 0; i < entries->n; i++) {
		const struct profile_entry *x = entries->v[i];

		if (!c->json) {
			str_add(out, indent);
			text_safe(out, slice_of(x->name));
			str_addc(out, '\t');
			text_safe(out, slice_of(x->version[0] ? x->version : "-"));
			str_addc(out, '\t');
			text_safe(out, slice_of(x->output));
			str_addf(out, "\t%s\n", x->path);
			continue;
		}
		str_add(out, i ? ",\n{" : "{");
		json_field(out, "name", x->name);
		json_field(out, "version", x->version);
		json_field(out, "output", x->output);
		json_field(out, "path", x->path);
		str_addc(out, '}');
	}
}

static int run_list(struct cmd_env *env, struct err *e)
{
	struct package_ctx *c = env->ctx;
	struct package_env p = PACKAGE_ENV_INIT;
	auto_vec struct vec entries = VEC_INIT;
	auto_str struct str out = STR_INIT;
	int r = package_open(&p, c, false, NULL, e);

	if (r == 0)
		r = package_installed(&p, &entries, e);
	if (r == 0) {
		add_entries(c, &entries, "", &out);
		r = print(c, &out, e);
	}
	profile_done(&p.profile);
	return r;
}

static int add_generation(const struct package_ctx *c, struct package_env *p,
			  const struct links_item *g, struct str *out, struct err *e)
{
	auto_vec struct vec entries = VEC_INIT;
	bool current = g->number == p->profile.current;
	time_t t = (time_t)g->date;
	char date[32] = "?";
	struct tm tm;
	int r = profile_manifest(&p->profile, g->path, &entries, e);

	if (r < 0)
		return r;
	if (gmtime_r(&t, &tm))
		(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	if (!c->json) {
		str_addf(out, "generation %u  %s%s\n", g->number, date, current ? "  current" : "");
		add_entries(c, &entries, "  ", out);
		return 0;
	}
	str_addf(out, "%s{\"generation\":%u,\"date\":%lld,\"current\":%s", out->len ? ",\n" : "",
		 g->number, (long long)g->date, current ? "true" : "false");
	json_field(out, "profile", g->path);
	str_add(out, ",\"packages\":[");
	add_entries(c, &entries, "", out);
	str_add(out, "]}");
	return 0;
}

static int run_list_generations(struct cmd_env *env, struct err *e)
{
	struct package_ctx *c = env->ctx;
	struct package_env p = PACKAGE_ENV_INIT;
	auto_str struct str out = STR_INIT;
	int r = package_open(&p, c, false, NULL, e);

	for (size_t i = 0; r == 0 && i < p.profile.gens.n; i++)
		r = add_generation(c, &p, p.profile.gens.v[i], &out, e);
	if (r == 0)
		r = print(c, &out, e);
	profile_done(&p.profile);
	return r;
}

/* Names alone: what they stand for is the modules' to say. Names hold no quotes (packages.lua and
 * the check of manifests see to it). */
static int run_export(struct cmd_env *env, struct err *e)
{
	struct package_ctx *c = env->ctx;
	struct package_env p = PACKAGE_ENV_INIT;
	auto_vec struct vec entries = VEC_INIT;
	auto_str struct str out = STR_INIT;
	int r = package_open(&p, c, false, NULL, e);

	if (r == 0)
		r = package_installed(&p, &entries, e);
	if (c->json) {
		add_entries(c, &entries, "", &out);
		profile_done(&p.profile);
		return r < 0 ? r : print(c, &out, e);
	}
	str_add(&out, "-- Made by 'cairn package export-manifest', for 'cairn package apply'.\n"
		      "return {\n");
	for (size_t i = 0; r == 0 && i < entries.n; i++) {
		const struct profile_entry *x = entries.v[i];
		bool other = strcmp(x->output, "out") != 0;

		str_addf(&out, "\t\"%s%s%s\", -- %s\n", x->name, other ? ":" : "",
			 other ? x->output : "", x->version[0] ? x->version : x->path);
	}
	str_add(&out, "}\n");
	profile_done(&p.profile);
	return r < 0 ? r : print(c, &out, e);
}

/* ---- search, show -----------------------------------------------------------------------------
 */

static const char *const shown[] = { "version", "synopsis",  "description", "inputs",
				     "license", "home_page", "location" };

static void add_package(const struct package_ctx *c, const struct sys_eval *ev, unsigned i,
			struct str *out)
{
	const char *name = packages_text(ev, i, "name");

	if (c->json) {
		str_add(out, out->len ? ",\n{" : "{");
		json_field(out, "name", name);
	} else {
		str_addf(out, "%sname: ", out->len ? "\n" : "");
		text_safe(out, slice_of(name));
		str_addc(out, '\n');
	}
	for (size_t k = 0; k < ARRAY_LEN(shown); k++) {
		const char *value = packages_text(ev, i, shown[k]);

		if (c->json) {
			json_field(out, shown[k], value);
		} else if (value[0]) {
			str_addf(out, "%s: ", shown[k]);
			text_safe(out, slice_of(value));
			str_addc(out, '\n');
		}
	}
	if (c->json)
		str_addc(out, '}');
}

static bool in_word(char c)
{
	return isalnum((unsigned char)c) != 0;
}

/* 0: the text does not fit, 1: in the middle of a word, 2: somewhere as a word. */
static unsigned fits(const char *text, const regex_t *re)
{
	unsigned how = 0;
	regmatch_t m;

	for (const char *at = text; regexec(re, at, 1, &m, at == text ? 0 : REG_NOTBOL) == 0;) {
		const char *from = at + m.rm_so, *to = at + m.rm_eo;

		how = 1;
		if ((from == text || !in_word(from[-1])) && !in_word(*to))
			return 2;
		if (!*from)
			break;
		at = from + 1;
	}
	return how;
}

/* How well package i fits one expression: in its name more than in its texts, as a word more than
 * as a part of one. 0: not at all. */
static unsigned relevance(const struct sys_eval *ev, unsigned i, const regex_t *re)
{
	static const struct {
		const char *key;
		unsigned part, word;
	} texts[] = { { "name", 10, 20 }, { "synopsis", 2, 6 }, { "description", 1, 4 } };
	const char *name = packages_text(ev, i, "name");
	unsigned most = 0;
	regmatch_t m;

	if (regexec(re, name, 1, &m, 0) == 0 && m.rm_so == 0 && name[m.rm_eo] == '\0')
		return 100;
	for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
		unsigned how = fits(packages_text(ev, i, texts[k].key), re);
		unsigned worth = how == 2 ? texts[k].word : how ? texts[k].part : 0;

		most = MAX_OF(most, worth);
	}
	return most;
}

/* Multiply into scores: a package must fit every expression. */
static int score(const struct sys_eval *ev, const char *text, unsigned *scores, unsigned n,
		 struct err *e)
{
	char why[128];
	regex_t re;
	int code = regcomp(&re, text, REG_EXTENDED | REG_ICASE);

	if (code) {
		(void)regerror(code, &re, why, sizeof(why));
		return cmd_usage(e, "'%s' is not a regular expression: %s", text, why);
	}
	for (unsigned i = 0; i < n; i++)
		scores[i] = scores[i] ? MIN_OF(scores[i] * relevance(ev, i + 1, &re), 1000000u) : 0;
	regfree(&re);
	return 0;
}

static unsigned best(const unsigned *scores, unsigned n)
{
	unsigned at = 0;

	for (unsigned i = 1; i < n; i++)
		if (scores[i] > scores[at])
			at = i;
	return at;
}

static int search(const struct package_ctx *c, const struct sys_eval *ev, struct cmd_env *env,
		  struct str *out, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	unsigned n = 0, *scores, at;
	int r = 0;

	while (packages_text(ev, n + 1, "name")[0])
		n++;
	scores = arena_array(&a, n + 1, sizeof(*scores));
	if (!scores)
		return no_memory(e);
	for (unsigned i = 0; i < n; i++)
		scores[i] = 1;
	for (size_t i = 0; r == 0 && i < env->nargs; i++)
		r = score(ev, env->args[i], scores, n, e);
	for (; r == 0 && n && scores[at = best(scores, n)]; scores[at] = 0)
		add_package(c, ev, at + 1, out);
	if (r == 0 && !out->len && !c->json)
		fprintf(stderr, "%s: no package fits [without an expression all are listed]\n",
			env->prog);
	return r;
}

static int run_texts(struct cmd_env *env, bool all, struct err *e)
{
	struct package_ctx *c = env->ctx;
	auto_vec struct vec names = VEC_INIT;
	auto_str struct str out = STR_INIT;
	struct packages_request q = { &c->eval, "texts", all ? NULL : &names, NULL };
	struct sys_eval *ev = NULL;
	int r;

	c->eval.store_dir = c->store.store_dir;
	for (size_t i = 0; i < env->nargs; i++)
		vec_add(&names, env->args[i]);
	r = names.err ? no_memory(e) : packages_evaluate(&q, &ev, e);
	if (r == 0 && all)
		r = search(c, ev, env, &out, e);
	for (unsigned i = 1; r == 0 && !all && i <= names.n; i++)
		add_package(c, ev, i, &out);
	if (r == 0)
		r = print(c, &out, e);
	sys_eval_free(ev);
	return r;
}

static int run_search(struct cmd_env *env, struct err *e)
{
	return run_texts(env, true, e);
}

static int run_show(struct cmd_env *env, struct err *e)
{
	return run_texts(env, false, e);
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

static const struct cmd_opt list_opts[] = {
	PACKAGE_PROFILE,
	PACKAGE_JSON,
	STORE_OPTIONS_BASIC(struct package_ctx, store),
};
static const struct cmd_opt text_opts[] = {
	PACKAGE_JSON,
	SYS_EVAL_OPTIONS(struct package_ctx, eval),
	STORE_OPTIONS_BASIC(struct package_ctx, store),
};

const struct cmd package_cmd_list = {
	.name = "list",
	.summary = "list the packages of the profile",
	.examples = "cairn package list --json",
	.help = "Name, version, output and store path, separated by tabs.",
	CMD_OPTS(list_opts),
	.context_size = sizeof(struct package_ctx),
	.run = run_list,
};

const struct cmd package_cmd_list_generations = {
	.name = "list-generations",
	.summary = "list the generations of the profile and their packages",
	.examples = "cairn package list-generations",
	CMD_OPTS(list_opts),
	.context_size = sizeof(struct package_ctx),
	.run = run_list_generations,
};

const struct cmd package_cmd_export_manifest = {
	.name = "export-manifest",
	.summary = "print the packages of the profile as a file for 'apply'",
	.examples = "cairn package export-manifest >packages.lua",
	.help = "With --json what 'list' says: a manifest is Lua.",
	CMD_OPTS(list_opts),
	.context_size = sizeof(struct package_ctx),
	.run = run_export,
};

static void no_operands(struct str *out)
{
	(void)out;
}

const struct cmd package_cmd_search = {
	.name = "search",
	.synopsis = "[REGEXP...]",
	.summary = "find packages by name, synopsis and description",
	.examples = "cairn package search http server    both words must fit",
	.help = "All expressions must fit; the best fit comes first. Without one: all packages.",
	CMD_OPTS(text_opts),
	.context_size = sizeof(struct package_ctx),
	.max_args = SIZE_MAX,
	.operands = no_operands,
	.run = run_search,
};

const struct cmd package_cmd_show = {
	.name = "show",
	.synopsis = "PACKAGE...",
	.summary = "show what packages say about themselves",
	.examples = "cairn package show curl",
	CMD_OPTS(text_opts),
	.context_size = sizeof(struct package_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.operands = no_operands,
	.run = run_show,
};
