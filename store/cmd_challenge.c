/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn challenge */
#include <errno.h>
#include <stdio.h>

#include "lib/path.h"
#include "store/cmd_store.h"
#include "store/fetch.h"
#include "store/limits.h"
#include "store/narinfo.h"
#include "store/serve.h"

#define EXIT_DIFFERS 2
#define URLS_MAX     16

struct ctx {
	struct store_opts store;
	const char *dialect;
	bool verbose;
	/* while running */
	enum dialect family;
	struct vec urls;
	size_t same, differ, unclear;
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "dialect", 0, CMD_STR, offsetof(struct ctx, dialect), "NAME",
	  "store and caches of guix (default) or nix" },
	{ "substitute-urls", 0, CMD_STR, offsetof(struct ctx, store.substitute_urls), "URLS",
	  "caches to compare with, blank-separated" },
	{ "verbose", 'v', CMD_FLAG, offsetof(struct ctx, verbose), NULL,
	  "tell of items that are the same, too" },
};

static int split_urls(struct ctx *x, struct arena *a, struct err *e)
{
	struct slice rest = slice_of(x->store.substitute_urls), word;

	while (rest.n && slice_cut(&rest, ' ', &word)) {
		char *url = arena_slice(a, word);

		while (word.n && word.p[word.n - 1] == '/')
			url[--word.n] = 0;
		if (!word.n)
			continue;
		if (!fetch_url_ok(url, true))
			return cmd_usage(e, "'%s' is no URL of a cache [http, https, file]", url);
		vec_add(&x->urls, url);
	}
	if (!x->urls.n)
		return cmd_usage(e, "name the caches with --substitute-urls");
	return x->urls.n > URLS_MAX || x->urls.err ? cmd_usage(e, "at most %d caches", URLS_MAX)
						   : 0;
}

/* The hash that one answer states; false when it states none for path. */
static bool stated_hash(struct ctx *x, const struct fetch_answer *f, const char *path,
			struct digest *ret)
{
	auto_arena struct arena a = ARENA_INIT;
	struct narinfo *n;

	if (f->status != 200 ||
	    narinfo_parse(&a, x->family, x->store.store_dir, str_slice(&f->body), &n, NULL) ||
	    strcmp(n->info.path, path) != 0)
		return false;
	*ret = n->info.nar_hash;
	return true;
}

static void print_hash(const char *who, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_base32(d, text);
	printf("  %s: %s\n", who, text);
}

/* Compare one item; f has one answer for each cache. */
static void compare(struct ctx *x, const struct store_info *info, const struct fetch_answer *f)
{
	struct digest theirs[URLS_MAX];
	bool have[URLS_MAX], differ = false, any = false;

	for (size_t i = 0; i < x->urls.n; i++) {
		have[i] = stated_hash(x, &f[i], info->path, &theirs[i]);
		any |= have[i];
		differ |= have[i] && !digest_eq(&theirs[i], &info->nar_hash);
	}
	*(differ ? &x->differ : any ? &x->same : &x->unclear) += 1;
	if (!differ && any && !x->verbose)
		return;
	printf("%s: %s\n", info->path,
	       differ ? "contents differ"
	       : any  ? "contents match"
		      : "no cache has it");
	if (!any)
		return;
	print_hash("here", &info->nar_hash);
	for (size_t i = 0; i < x->urls.n; i++)
		if (have[i])
			print_hash(x->urls.v[i], &theirs[i]);
}

static int challenge_all(struct ctx *x, struct store_conn *c, const struct vec *paths,
			 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	size_t n = paths->n * x->urls.n;
	struct fetch_answer *v = arena_array(&a, n, sizeof(*v));
	int r = v ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (size_t i = 0; r == 0 && i < n; i++) {
		v[i] = (struct fetch_answer){ .body = STR_INIT };
		v[i].url = arena_fmt(&a, "%s/%.32s.narinfo", (char *)x->urls.v[i % x->urls.n],
				     path_base(paths->v[i / x->urls.n]));
		r = v[i].url ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	if (r == 0)
		r = fetch_answers(v, n, LIMIT_NARINFO, e);
	for (size_t i = 0; r == 0 && i < paths->n; i++) {
		struct store_info *info;

		r = store_info(c, &a, paths->v[i], &info, e);
		if (r == 0)
			compare(x, info, v + i * x->urls.n);
	}
	for (size_t i = 0; v && i < n; i++)
		str_done(&v[i].body);
	return r;
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *x = env->ctx;
	struct store_conn *c = NULL;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT;
	int r;

	if (x->dialect && dialect_parse(slice_of(x->dialect), &x->family))
		return cmd_usage(e, "--dialect must be guix or nix, not '%s'", x->dialect);
	if (!x->store.store_dir)
		x->store.store_dir = dialect_facts(x->family)->store_dir;
	if (!x->store.state_dir)
		x->store.state_dir = dialect_facts(x->family)->state_dir;
	r = split_urls(x, &a, e);
	if (r == 0)
		r = store_open(&x->store, &c, e);
	if (r == 0)
		r = env->nargs ? store_operands(c, &a, env->args, env->nargs, &paths, e)
			       : store_all_valid(c, &a, &paths, e);
	if (r == 0)
		r = challenge_all(x, c, &paths, e);
	store_close(c);
	vec_done(&x->urls);
	if (r == 0)
		printf("%zu the same, %zu different, %zu not comparable\n", x->same, x->differ,
		       x->unclear);
	if (r == 0)
		r = store_finish_output(e);
	return r == 0 && x->differ ? cmd_exit_with(EXIT_DIFFERS) : r;
}

const struct cmd store_cmd_challenge = {
	.name = "challenge",
	.synopsis = "[PATH...]",
	.summary = "Compare store items with what caches have",
	.help = "Without a PATH everything in the store is compared. Signatures do not matter: "
		"what is\n"
		"told are the hashes that caches state. Exit status 2 when one differs.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.run = run,
};
