/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system search, show and edit: what a configuration may hold; extension-graph and
 * service-graph: what one holds. system/catalogue.lua and system/graphs.lua have the texts. */
#include <dirent.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "lib/size.h"
#include "lib/text.h"
#include "system/system.h"

#define CONFIGURATION  "/etc/cairn/system.lua"
#define LIMIT_PATTERNS 16

struct ctx {
	struct sys_eval_opts eval;
	bool json, markdown;
};

/* ---- The catalogue --------------------------------------------------------------------------- */

struct entry {
	const char *name; /* in arena */
	uint64_t relevance;
};

struct catalogue {
	struct arena a;
	struct sys_eval *ev;
	const char *modules; /* in arena */
	struct vec entries;  /* struct entry, service types first */
};

static void catalogue_done(struct catalogue *c)
{
	sys_eval_free(c->ev);
	vec_done(&c->entries);
	arena_done(&c->a);
}

static const char *aspect(const struct catalogue *c, const char *name, const char *what)
{
	char key[128];
	const char *text;

	snprintf(key, sizeof(key), "%s %s", name, what);
	text = sys_eval_value(c->ev, key);
	return text ? text : "";
}

static bool is_service(const struct catalogue *c, const char *name)
{
	return strcmp(aspect(c, name, "kind"), "service") == 0;
}

static int add_entries(struct catalogue *c, bool services, struct err *e)
{
	for (size_t i = 0; i < sys_eval_count(c->ev); i++) {
		const char *key = sys_eval_at(c->ev, i)->key, *blank = strchr(key, ' ');
		struct entry *x;

		if (!blank || strcmp(blank + 1, "kind") != 0)
			continue;
		x = ARENA_NEW(&c->a, struct entry);
		if (!x)
			return err_set(e, -ENOMEM, "out of memory");
		x->name = arena_slice(&c->a, (struct slice){ key, (size_t)(blank - key) });
		if (x->name && is_service(c, x->name) == services)
			vec_add(&c->entries, x);
	}
	return c->entries.err || arena_err(&c->a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

static int catalogue_load(struct catalogue *c, const struct ctx *ctx, struct err *e)
{
	struct sys_eval_request req = { SYS_EVAL_EXPR, "{}", "system.catalogue", NULL, 1 };
	char *dir = NULL, *types = NULL;
	int rc = sys_modules_dir(ctx->eval.modules, &c->a, &dir, e);

	if (rc == 0)
		rc = sys_type_modules(&c->a, dir, &types, e);
	if (rc < 0)
		return rc;
	c->modules = dir;
	req.args = (const char *const[]){ types };
	rc = sys_eval_run(&ctx->eval, &req, &c->ev, e);
	if (rc == 0)
		rc = add_entries(c, true, e);
	return rc < 0 ? rc : add_entries(c, false, e);
}

/* The entry that somebody means by NAME or services.NAME. */
static int find(const struct catalogue *c, const char *word, const struct entry **ret,
		struct err *e)
{
	const char *name = strncmp(word, "services.", 9) == 0 ? word + 9 : word, *near;
	auto_vec struct vec names = VEC_INIT;

	for (size_t i = 0; i < c->entries.n; i++) {
		const struct entry *x = c->entries.v[i];

		if (strcmp(x->name, name) == 0) {
			*ret = x;
			return 0;
		}
		vec_add(&names, (void *)x->name);
	}
	near = text_nearest(name, (const char *const *)names.v, names.n);
	return err_set(e, -ERR_NOTFOUND,
		       "there is no service type or record '%s' [%s%s%scairn system search lists "
		       "all]",
		       word, near ? "did you mean '" : "", near ? near : "", near ? "'? " : "");
}

static int finish(struct err *e)
{
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* ---- search ---------------------------------------------------------------------------------- */

static uint64_t matches(const regex_t *re, const char *text)
{
	regmatch_t m;
	uint64_t n = 0;

	while (n < 100 && regexec(re, text, 1, &m, n ? REG_NOTBOL : 0) == 0 && m.rm_eo > 0) {
		n++;
		text += m.rm_eo;
	}
	return n;
}

/* 0 unless every pattern is found somewhere. What it is looked for by counts most, then the name,
 * then the description. */
static uint64_t relevance(const struct catalogue *c, const char *name, const regex_t *patterns,
			  size_t n)
{
	uint64_t sum = n ? 0 : 1;

	for (size_t i = 0; i < n; i++) {
		uint64_t score = 16 * matches(&patterns[i], aspect(c, name, "keywords")) +
				 8 * matches(&patterns[i], name) +
				 4 * matches(&patterns[i], aspect(c, name, "doc")) +
				 matches(&patterns[i], aspect(c, name, "words"));

		if (!score)
			return 0;
		sum += score;
	}
	return sum;
}

static int by_relevance(const void *pa, const void *pb)
{
	const struct entry *a = *(const struct entry *const *)pa;
	const struct entry *b = *(const struct entry *const *)pb;

	if (a->relevance != b->relevance)
		return a->relevance > b->relevance ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int print_found(const struct catalogue *c, bool json, struct err *e)
{
	size_t found = 0;

	for (size_t i = 0; i < c->entries.n; i++) {
		const struct entry *x = c->entries.v[i];

		if (!x->relevance)
			continue;
		if (json)
			printf("%s%s", found ? ",\n" : "[", aspect(c, x->name, "json"));
		else
			printf("%s%srelevance: %llu\n", found ? "\n" : "",
			       aspect(c, x->name, "heading"), (unsigned long long)x->relevance);
		found++;
	}
	if (json)
		printf("%s]\n", found ? "" : "[");
	else if (!found)
		return err_set(e, -ERR_NOTFOUND, "no service type and no record matches");
	return finish(e);
}

static int compile(regex_t *patterns, const struct cmd_env *env, size_t *ret, struct err *e)
{
	for (*ret = 0; *ret < env->nargs; ++*ret) {
		char why[128];
		int rc = regcomp(&patterns[*ret], env->args[*ret], REG_EXTENDED | REG_ICASE);

		if (rc) {
			regerror(rc, &patterns[*ret], why, sizeof(why));
			return cmd_usage(e, "'%s' is not a regular expression: %s", env->args[*ret],
					 why);
		}
	}
	return 0;
}

static int run_search(struct cmd_env *env, struct err *e)
{
	struct ctx *ctx = env->ctx;
	struct catalogue c = { ARENA_INIT, NULL, NULL, VEC_INIT };
	regex_t patterns[LIMIT_PATTERNS];
	size_t n = 0;
	int rc = compile(patterns, env, &n, e);

	if (rc == 0)
		rc = catalogue_load(&c, ctx, e);
	for (size_t i = 0; rc == 0 && i < c.entries.n; i++) {
		struct entry *x = c.entries.v[i];

		x->relevance = relevance(&c, x->name, patterns, n);
	}
	if (rc == 0 && n)
		qsort(c.entries.v, c.entries.n, sizeof(*c.entries.v), by_relevance);
	if (rc == 0)
		rc = print_found(&c, ctx->json, e);
	while (n)
		regfree(&patterns[--n]);
	catalogue_done(&c);
	return rc;
}

/* ---- show ------------------------------------------------------------------------------------ */

static void list_names(const struct catalogue *c)
{
	for (size_t i = 0; i < c->entries.n; i++) {
		const struct entry *x = c->entries.v[i];

		printf("%s%s\t%s\n", is_service(c, x->name) ? "services." : "", x->name,
		       aspect(c, x->name, "doc"));
	}
}

static void print_markdown(const struct catalogue *c, bool services)
{
	for (size_t i = 0; i < c->entries.n; i++) {
		const struct entry *x = c->entries.v[i];

		if (is_service(c, x->name) == services)
			fputs(aspect(c, x->name, "markdown"), stdout);
	}
}

static void reference(const struct catalogue *c)
{
	puts("# Reference: all fields\n\n"
	     "Made by `make reference` from the tables that check configurations; `cairn system "
	     "show` prints the same.\nWhat they are for is in doc/configuration.md.\n\n"
	     "# Records\n");
	print_markdown(c, false);
	puts("# Service types\n");
	print_markdown(c, true);
}

static void show_all(const struct catalogue *c, const struct ctx *ctx)
{
	const char *before = "[";

	if (ctx->markdown)
		reference(c);
	else if (!ctx->json)
		list_names(c);
	for (size_t i = 0; ctx->json && i < c->entries.n; i++) {
		const struct entry *x = c->entries.v[i];

		printf("%s%s", before, aspect(c, x->name, "json"));
		before = ",\n";
	}
	if (ctx->json)
		puts("]");
}

static int show_one(const struct catalogue *c, const struct ctx *ctx, const char *word, bool first,
		    struct err *e)
{
	const struct entry *x;
	int rc = find(c, word, &x, e);

	if (rc < 0)
		return rc;
	if (ctx->json)
		printf("%s%s", first ? "[" : ",\n", aspect(c, x->name, "json"));
	else if (ctx->markdown)
		fputs(aspect(c, x->name, is_service(c, x->name) ? "markdown" : "fields"), stdout);
	else
		printf("%s%s", first ? "" : "\n", aspect(c, x->name, "shown"));
	return 0;
}

static int run_show(struct cmd_env *env, struct err *e)
{
	const struct ctx *ctx = env->ctx;
	struct catalogue c = { ARENA_INIT, NULL, NULL, VEC_INIT };
	const struct entry *x;
	int rc;

	if (ctx->json && ctx->markdown)
		return cmd_usage(e, "give either --json or --markdown");
	rc = catalogue_load(&c, ctx, e);
	/* All of them exist, or nothing is printed. */
	for (size_t i = 0; rc == 0 && i < env->nargs; i++)
		rc = find(&c, env->args[i], &x, e);
	if (rc == 0 && !env->nargs)
		show_all(&c, ctx);
	for (size_t i = 0; rc == 0 && i < env->nargs; i++)
		rc = show_one(&c, ctx, env->args[i], i == 0, e);
	if (rc == 0 && ctx->json && env->nargs)
		puts("]");
	catalogue_done(&c);
	return rc < 0 ? rc : finish(e);
}

/* ---- edit ------------------------------------------------------------------------------------ */

enum line_form { LINE_UNSAID, LINE_PLUS, LINE_COMMAND, LINE_BEHIND };

/* How an editor is told the line: "+N FILE", "-c N FILE" (all vis; busybox's takes "+N" for a file)
 * or "FILE:N". Others are not, for they might open a file of that name. */
static enum line_form line_form(const char *program)
{
	static const struct {
		const char *name;
		enum line_form form;
	} editors[] = {
		{ "emacs", LINE_PLUS },	  { "emacsclient", LINE_PLUS }, { "helix", LINE_BEHIND },
		{ "hx", LINE_BEHIND },	  { "joe", LINE_PLUS },		{ "kak", LINE_PLUS },
		{ "mg", LINE_PLUS },	  { "micro", LINE_PLUS },	{ "nano", LINE_PLUS },
		{ "nvim", LINE_COMMAND }, { "vi", LINE_COMMAND },	{ "vim", LINE_COMMAND },
	};
	const char *base = strrchr(program, '/');

	base = base ? base + 1 : program;
	for (size_t i = 0; i < ARRAY_LEN(editors); i++)
		if (strcmp(base, editors[i].name) == 0)
			return editors[i].form;
	return LINE_UNSAID;
}

/* location: "services/dhcp.lua:58". The editor's name may have options after it. */
static int edit_at(struct catalogue *c, const char *location, struct err *e)
{
	const char *editor = getenv("VISUAL"), *colon = strrchr(location, ':');
	struct proc_spec spec = PROC_SPEC_INIT;
	auto_vec struct vec argv = VEC_INIT;
	enum line_form form = LINE_UNSAID;
	struct slice rest, word;
	char *file;

	if (!editor || !*editor)
		editor = getenv("EDITOR");
	if (!editor || !*editor)
		editor = "vi";
	if (!colon)
		return err_set(e, -ERR_INVALID, "the definition has no place: %s", location);
	file = location[0] == '/'
		       ? arena_slice(&c->a, (struct slice){ location, (size_t)(colon - location) })
		       : arena_fmt(&c->a, "%s/%.*s", c->modules, (int)(colon - location), location);
	rest = slice_of(editor);
	while (slice_cut(&rest, ' ', &word)) {
		const char *text = word.n ? arena_slice(&c->a, word) : NULL;

		if (text && form == LINE_UNSAID) /* "busybox vi", "env nano" */
			form = line_form(text);
		if (word.n)
			vec_add(&argv, (void *)(uintptr_t)text);
	}
	if (form == LINE_COMMAND)
		vec_add(&argv, (void *)(uintptr_t) "-c");
	if (form == LINE_COMMAND || form == LINE_PLUS)
		vec_add(&argv, arena_fmt(&c->a, form == LINE_PLUS ? "+%s" : "%s", colon + 1));
	vec_add(&argv, form == LINE_BEHIND ? arena_fmt(&c->a, "%s:%s", file, colon + 1) : file);
	vec_add(&argv, NULL);
	if (argv.err || arena_err(&c->a) || !file)
		return err_set(e, -ENOMEM, "out of memory");
	if (access(file, W_OK) < 0)
		fprintf(stderr,
			"%s cannot be changed [a service type of your own can lie beside the "
			"configuration, and be called by require]\n",
			file);
	spec.argv = (const char *const *)argv.v;
	return proc_run(&spec, e);
}

static int run_edit(struct cmd_env *env, struct err *e)
{
	const struct ctx *ctx = env->ctx;
	struct catalogue c = { ARENA_INIT, NULL, NULL, VEC_INIT };
	const struct entry *x;
	int rc = catalogue_load(&c, ctx, e);

	if (rc == 0)
		rc = find(&c, env->args[0], &x, e);
	if (rc == 0)
		rc = edit_at(&c, aspect(&c, x->name, "location"), e);
	catalogue_done(&c);
	return rc;
}

/* ---- Graphs ---------------------------------------------------------------------------------- */

static int print_graph(struct cmd_env *env, const char *which, struct err *e)
{
	const struct ctx *ctx = env->ctx;
	struct sys_eval_request req = { SYS_EVAL_FILE, env->nargs ? env->args[0] : CONFIGURATION,
					"system.graphs", NULL, 0 };
	struct sys_eval *ev = NULL;
	const char *text;
	char key[32];
	int rc = sys_eval_run(&ctx->eval, &req, &ev, e);

	if (rc < 0)
		return rc;
	snprintf(key, sizeof(key), "%s %s", which, ctx->json ? "json" : "dot");
	text = sys_eval_value(ev, key);
	printf("%s%s", text ? text : "", ctx->json ? "\n" : "");
	sys_eval_free(ev);
	return finish(e);
}

static int run_extension_graph(struct cmd_env *env, struct err *e)
{
	return print_graph(env, "extension", e);
}

static int run_service_graph(struct cmd_env *env, struct err *e)
{
	return print_graph(env, "service", e);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

#define JSON                                                                                       \
	{                                                                                          \
		"json", 0, CMD_FLAG, offsetof(struct ctx, json), NULL, "print JSON"                \
	}

static const struct cmd_opt json_opts[] = { JSON, SYS_EVAL_OPTIONS(struct ctx, eval) };

const struct cmd sys_cmd_search = {
	.name = "search",
	.synopsis = "[REGEXP...]",
	.summary = "find service types and records that a configuration may hold",
	.examples = "cairn system search ssh key",
	.help = "Looks into names, descriptions and fields, whatever the case of letters; all\n"
		"expressions must be found. The most relevant comes first.",
	CMD_OPTS(json_opts),
	.context_size = sizeof(struct ctx),
	.max_args = LIMIT_PATTERNS,
	.statuses = &sys_statuses,
	.run = run_search,
};

static const struct cmd_opt show_opts[] = {
	JSON,
	{ "markdown", 0, CMD_FLAG, offsetof(struct ctx, markdown), NULL,
	  "print Markdown, as the manual has it" },
	SYS_EVAL_OPTIONS(struct ctx, eval),
};

const struct cmd sys_cmd_show = {
	.name = "show",
	.synopsis = "[TYPE...]",
	.summary = "print the fields, defaults and example of service types and records",
	.examples = "cairn system show dhcp",
	.help = "TYPE is a service type (dhcp), operating_system, or a record that is used in it\n"
		"(file_system). Without TYPE the names of all are printed.",
	CMD_OPTS(show_opts),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.statuses = &sys_statuses,
	.run = run_show,
};

static const struct cmd_opt edit_opts[] = { SYS_EVAL_OPTIONS(struct ctx, eval) };

const struct cmd sys_cmd_edit = {
	.name = "edit",
	.synopsis = "TYPE",
	.summary = "open the definition of a service type or record in $VISUAL or $EDITOR",
	.examples = "cairn system edit dhcp",
	CMD_OPTS(edit_opts),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_edit,
};

const struct cmd sys_cmd_extension_graph = {
	.name = "extension-graph",
	.synopsis = "[CONFIGURATION]",
	.summary = "print which services add to what, for dot(1)",
	.examples = "cairn system extension-graph examples/minimal.lua | dot -Tsvg -o services.svg",
	CMD_OPTS(json_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_extension_graph,
};

const struct cmd sys_cmd_service_graph = {
	.name = "service-graph",
	.synopsis = "[CONFIGURATION]",
	.summary = "print which services wait for which, for dot(1)",
	.examples = "cairn system service-graph examples/minimal.lua | dot -Tsvg -o services.svg",
	.help = "Bold lines are what a service requires, plain ones what it wants, dashed ones\n"
		"order only, dotted ones what conflicts.",
	CMD_OPTS(json_opts),
	.context_size = sizeof(struct ctx),
	.max_args = 1,
	.statuses = &sys_statuses,
	.run = run_service_graph,
};
