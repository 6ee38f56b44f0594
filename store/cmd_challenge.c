/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn challenge */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"
#include "store/format/buildid.h"
#include "store/cmd_store.h"
#include "store/build/transfer.h"
#include "store/limits.h"
#include "store/format/narinfo.h"
#include "store/subst/subst.h"
#include "store/local/treediff.h"

#define EXIT_DIFFERS 2
#define URLS_MAX     16
#define DIFF_MAX     ((uint64_t)8 << 30) /* bytes of an item that are unpacked to be compared */

struct ctx {
	struct store_opts store;
	const char *dialect, *diff;
	bool verbose, json;
	/* while running */
	enum dialect family;
	bool simple;
	struct vec urls;
	size_t same, differ, unclear;
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "dialect", 0, CMD_STR, offsetof(struct ctx, dialect), "NAME",
	  "store and caches of guix (default) or nix" },
	{ "diff", 0, CMD_STR, offsetof(struct ctx, diff), "HOW",
	  "none (default), or simple: fetch what differs and tell which files do" },
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, json), NULL, "every item, as JSON" },
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
		if (!transfer_url_ok(url, true))
			return cmd_usage(e, "'%s' is no URL of a cache [http, https, file]", url);
		vec_add(&x->urls, url);
	}
	if (!x->urls.n)
		return cmd_usage(e, "name the caches with --substitute-urls");
	return x->urls.n > URLS_MAX || x->urls.err ? cmd_usage(e, "at most %d caches", URLS_MAX)
						   : 0;
}

/* The hash that one answer states; false when it states none for path. */
static bool stated_hash(struct ctx *x, const struct transfer_answer *f, const char *path,
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

/* ---- Files that differ ----------------------------------------------------------------------- */

/* What the cache base has under the narinfo n, as an item of one file; strings in a. */
static int choose_file(struct arena *a, const char *base, const struct narinfo *n,
		       struct subst_file *file, struct subst_item *ret, struct err *e)
{
	const struct narinfo_file *f = n->files, *end = f + n->nfiles;

	while (f < end && !f->known)
		f++;
	file->url = f < end ? subst_join_url(a, base, f->url) : NULL;
	if (!file->url)
		return err_set(e, -ERR_FETCH, "%s has no archive of use", base);
	file->kind = f->kind;
	file->limit = n->info.nar_size + n->info.nar_size / 8 + 65536;
	*ret = (struct subst_item){ .info = n->info, .files = file, .nfiles = 1 };
	return 0;
}

/* Unpack what the cache base has as dirfd/"item"; a helper meets what it sends. */
static int fetch_item(struct ctx *x, const char *base, const struct narinfo *n, int dirfd,
		      struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct build_id id = { .lock = -1 };
	struct subst_cage c = { .id = &id, .root = dirfd, .urls = x->urls };
	struct subst_item item;
	struct subst_file file;
	struct subst_archive from;
	int r = choose_file(&a, base, n, &file, &item, e);

	if (r == 0)
		r = buildid_take(NULL, &id.uid, &id.gid, &id.lock, e);
	if (r == 0)
		r = subst_archive_open(&c, &item, &file, STDERR_FILENO, true, &from, e);
	if (r == 0) {
		r = nar_restore(&from.source, dirfd, "item", e);
		subst_archive_close(&from);
	}
	fd_close(&id.lock);
	return r;
}

static void print_place(void *arg, const char *rel, const char *what)
{
	auto_str struct str s = STR_INIT;

	(void)arg;
	text_safe(&s, slice_of(*rel ? rel : "/"));
	printf("    %s: %s\n", s.buf, what);
}

/* Which files of the item here and at one cache are not the same. */
static int print_diff(struct ctx *x, struct store_conn *c, const char *base,
		      const struct narinfo *n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	char dir[] = "/tmp/cairn-challenge-XXXXXX";
	char *here = store_conn_physical(c, &a, n->info.path);
	int r;

	if (!here || !mkdtemp(dir))
		return err_sys(e, "cannot make a directory in /tmp");
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? err_sys(e, "cannot open %s", dir) : fetch_item(x, base, n, fd, e);
	if (r == 0)
		r = treediff(AT_FDCWD, here, fd, "item", print_place, x, e);
	(void)file_delete_tree(AT_FDCWD, dir, NULL, NULL); /* the result counts */
	return r;
}

/* One that cannot be had is told, and is no failure: the hashes are known to differ. */
static void tell_diff(struct ctx *x, struct store_conn *c, const char *base, struct slice text)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct narinfo *n;
	int r = narinfo_parse(&a, x->family, x->store.store_dir, text, &n, &e);

	if (r == 0 && n->info.nar_size > DIFF_MAX)
		r = err_set(&e, -ERR_LIMIT, "an archive of %llu bytes is not unpacked",
			    (unsigned long long)n->info.nar_size);
	if (r == 0)
		r = print_diff(x, c, base, n, &e);
	if (r < 0)
		printf("    cannot be compared: %s\n", e.msg);
}

/* ---- Hashes ---------------------------------------------------------------------------------- */

/* One item, and what each cache states of it. */
struct comparison {
	const struct store_info *info;
	const struct transfer_answer *f; /* one answer for each cache */
	struct digest theirs[URLS_MAX];
	bool have[URLS_MAX], differ, any;
};

static void print_text(struct ctx *x, struct store_conn *c, const struct comparison *k)
{
	if (!k->differ && k->any && !x->verbose)
		return;
	printf("%s: %s\n", k->info->path,
	       k->differ ? "contents differ"
	       : k->any	 ? "contents match"
			 : "no cache has it");
	if (!k->any)
		return;
	print_hash("here", &k->info->nar_hash);
	for (size_t i = 0; i < x->urls.n; i++)
		if (k->have[i]) {
			print_hash(x->urls.v[i], &k->theirs[i]);
			if (x->simple && !digest_eq(&k->theirs[i], &k->info->nar_hash))
				tell_diff(x, c, x->urls.v[i], str_slice(&k->f[i].body));
		}
}

static void json_hash(struct str *s, const char *name, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_base32(d, text);
	str_addf(s, ",\"%s\":\"sha256:%s\"", name, text);
}

static void print_json(struct ctx *x, const struct comparison *k)
{
	auto_str struct str s = STR_INIT;
	const char *sep = "";

	str_add(&s, x->same + x->differ + x->unclear > 1 ? ",\n {\"path\":" : "\n {\"path\":");
	text_json(&s, slice_of(k->info->path));
	str_addf(&s, ",\"result\":\"%s\"", k->differ ? "differ" : k->any ? "match" : "unknown");
	json_hash(&s, "narHash", &k->info->nar_hash);
	str_add(&s, ",\"caches\":[");
	for (size_t i = 0; i < x->urls.n; i++)
		if (k->have[i]) {
			str_addf(&s, "%s{\"url\":", sep);
			text_json(&s, slice_of(x->urls.v[i]));
			json_hash(&s, "narHash", &k->theirs[i]);
			str_addc(&s, '}');
			sep = ",";
		}
	str_add(&s, "]}");
	fputs(str_err(&s) ? "" : s.buf, stdout);
}

static void compare(struct ctx *x, struct store_conn *c, const struct store_info *info,
		    const struct transfer_answer *f)
{
	struct comparison k = { .info = info, .f = f };

	for (size_t i = 0; i < x->urls.n; i++) {
		k.have[i] = stated_hash(x, &f[i], info->path, &k.theirs[i]);
		k.any |= k.have[i];
		k.differ |= k.have[i] && !digest_eq(&k.theirs[i], &info->nar_hash);
	}
	*(k.differ ? &x->differ : k.any ? &x->same : &x->unclear) += 1;
	if (x->json)
		print_json(x, &k);
	else
		print_text(x, c, &k);
}

/* A cache that says nothing is another matter than one that has nothing. */
static int check_answers(struct ctx *x, const struct transfer_answer *v, size_t n, struct err *e)
{
	size_t silent = 0;

	for (size_t i = 0; n && i < x->urls.n; i++) {
		bool said = false;

		for (size_t k = i; k < n; k += x->urls.n)
			said |= v[k].status != 0;
		if (!said)
			fprintf(stderr, "%s does not answer\n", (char *)x->urls.v[i]);
		silent += !said;
	}
	return silent && silent == x->urls.n
		       ? err_set(e, -ERR_FETCH, "no cache answers: nothing was compared")
		       : 0;
}

static int challenge_all(struct ctx *x, struct store_conn *c, const struct vec *paths,
			 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	size_t n = paths->n * x->urls.n;
	struct transfer_answer *v = arena_array(&a, n, sizeof(*v));
	int r = v ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (size_t i = 0; r == 0 && i < n; i++) {
		v[i] = (struct transfer_answer){ .body = STR_INIT };
		v[i].url = arena_fmt(&a, "%s/%.32s.narinfo", (char *)x->urls.v[i % x->urls.n],
				     path_base(paths->v[i / x->urls.n]));
		r = v[i].url ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	if (r == 0)
		r = transfer_answers(v, n, LIMIT_NARINFO, e);
	if (r == 0)
		r = check_answers(x, v, n, e);
	if (r == 0 && x->json)
		fputs("[", stdout);
	for (size_t i = 0; r == 0 && i < paths->n; i++) {
		struct store_info *info;

		r = store_info(c, &a, paths->v[i], &info, e);
		if (r == 0)
			compare(x, c, info, v + i * x->urls.n);
	}
	if (r == 0 && x->json)
		fputs("\n]\n", stdout);
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
	if (x->diff && strcmp(x->diff, "simple") != 0 && strcmp(x->diff, "none") != 0)
		return cmd_usage(e, "--diff must be none or simple, not '%s'", x->diff);
	x->simple = x->diff && *x->diff == 's';
	if (x->json && x->simple)
		return cmd_usage(e, "--json and --diff=simple do not go together");
	store_use_family(&x->store, x->family);
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
	if (r == 0 && !x->json)
		printf("%zu the same, %zu different, %zu not comparable\n", x->same, x->differ,
		       x->unclear);
	if (r == 0)
		r = store_finish_output(e);
	return r == 0 && x->differ ? cmd_exit_with(EXIT_DIFFERS) : r;
}

const struct cmd store_cmd_challenge = {
	.name = "challenge",
	.synopsis = "[PATH...]",
	.summary = "compare store items with what caches have",
	.examples =
		"cairn challenge --substitute-urls https://cache.example.org $(cairn build zlib)\n"
		"cairn challenge --diff simple    everything there is, and which files differ",
	.help = "Without a PATH everything in the store is compared. Signatures do not matter: "
		"what is\n"
		"told are the hashes that caches state. Exit status 2 when one differs, 69 when "
		"no\n"
		"cache answers.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.run = run,
};
