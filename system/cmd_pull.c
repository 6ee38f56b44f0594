/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn pull: new modules for this machine, from a signed channel. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/channel.h"
#include "system/generation.h"
#include "system/packages.h"
#include "system/system.h"

#define MODULES_EXPRESSION                                                                         \
	"cairn_modules(require('packages.seed').busybox, require('packages.seed').shell)"

struct ctx {
	struct store_opts store;
	struct sys_eval_opts eval;
	const char *url, *key;
	bool allow_downgrade, dry_run, json, list, roll_back;
};

struct pull {
	struct store_places places;
	struct profile profile;
	struct channel settings, old, new;
	bool has_old, same;
	char dir[PATH_MAX]; /* for what is fetched; "": none yet */
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static int end_output(struct err *e)
{
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* ---- Where from ------------------------------------------------------------------------------ */

/* The first of these that is there says it: options, the administrator's file, the configuration.
 */
static int find_settings(struct pull *p, const struct ctx *c, struct err *e)
{
	struct arena *a = &p->profile.arena;
	const char *files[] = { arena_fmt(a, "%s" CHANNEL_SETTINGS, p->places.root),
				p->places.root[0] ? NULL : GEN_CURRENT_LINK "/pull" };
	int r = -ENOENT;

	p->settings = (struct channel){ .url = c->url ? c->url : "", .key = c->key ? c->key : "" };
	if (c->url && c->key)
		return 0;
	if (arena_err(a))
		return no_memory(e);
	for (size_t i = 0; r == -ENOENT && i < 2 && files[i]; i++)
		r = channel_load(a, files[i], &p->settings, e);
	if (r < 0 && r != -ENOENT)
		return r;
	if (c->url)
		p->settings.url = c->url;
	if (c->key)
		p->settings.key = c->key;
	if (p->settings.url[0] && p->settings.key[0])
		return 0;
	return err_set(e, -ERR_USAGE,
		       "it is not known where from: give --url and --key, set 'channel' in the "
		       "configuration of the system, or write both into %s",
		       files[0]);
}

/* What this machine has: of the profile, else of the system. */
static int find_old(struct pull *p, struct err *e)
{
	const struct links_item *g = profile_current(&p->profile);
	struct arena *a = &p->profile.arena;
	const char *dir = g		      ? arena_fmt(a, "%s%s", p->places.root, g->path)
			  : p->places.root[0] ? NULL
					      : GEN_CURRENT_LINK "/modules";
	char *file = dir ? arena_fmt(a, "%s/" CHANNEL_RECORD, dir) : NULL;
	int r = profile_check(&p->profile, e); /* what is not known cannot be compared */

	if (r < 0)
		return r;
	r = file ? channel_load(a, file, &p->old, e) : -ENOENT;
	p->has_old = r == 0;
	return r == -ENOENT ? 0 : r;
}

static int open_profile(struct pull *p, const struct ctx *c, bool change, struct err *e)
{
	struct arena *a = &p->profile.arena;
	char dir[PATH_MAX], *link;
	int r = store_find_places(&c->store, a, &p->places, e);

	if (r < 0)
		return r;
	link = arena_fmt(a, "%s%s" CHANNEL_PROFILE, p->places.root, p->places.state_dir);
	if (!link)
		return no_memory(e);
	if (change && !p->places.root[0] && geteuid() != 0)
		return err_set(e, -EPERM, "only root can change the modules of this machine");
	r = path_dir(dir, link);
	if (r == 0 && change)
		r = file_mkdir_p(AT_FDCWD, dir, 0755, e);
	return r < 0 ? r
		     : profile_open(&p->profile, link, p->places.root, p->places.store_dir, change,
				    "pull", e);
}

static void pull_done(struct pull *p)
{
	if (p->dir[0])
		(void)file_delete_tree(AT_FDCWD, p->dir, NULL, NULL); /* below /tmp, no error */
	profile_done(&p->profile);
}

/* ---- Showing --------------------------------------------------------------------------------- */

static void show_text(const struct channel *c, const char *indent)
{
	time_t t = (time_t)c->date;
	char date[32] = "?";
	struct tm tm;

	if (gmtime_r(&t, &tm))
		(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s%s number %llu of %s\n%s  from  %s\n%s  key   %s\n", indent, c->name,
	       (unsigned long long)c->serial, date, indent, c->url, indent, c->key);
}

static int load_record(struct pull *p, const struct links_item *g, struct channel *ret,
		       struct err *e)
{
	struct arena *a = &p->profile.arena;
	char *file = arena_fmt(a, "%s%s/" CHANNEL_RECORD, p->places.root, g->path);
	int r = file ? channel_load(a, file, ret, e) : no_memory(e);

	return r == -ENOENT ? err_set(e, r, "%s is missing", file) : r;
}

static int list_one(struct pull *p, const struct ctx *c, const struct links_item *g,
		    struct str *out, struct err *e)
{
	bool current = g->number == p->profile.current;
	struct channel x;
	int r = load_record(p, g, &x, e);

	if (r < 0)
		return r;
	if (!c->json) {
		printf("generation %u%s\n", g->number, current ? "  current" : "");
		show_text(&x, "  ");
		return 0;
	}
	str_addf(out, "%s{\"generation\":%u,\"current\":%s,\"modules\":", out->len ? ",\n" : "",
		 g->number, current ? "true" : "false");
	text_json(out, slice_of(g->path));
	str_add(out, ",\"channel\":");
	channel_json(&x, out);
	str_addc(out, '}');
	return 0;
}

static int list(struct pull *p, const struct ctx *c, struct err *e)
{
	auto_str struct str out = STR_INIT;
	int r = open_profile(p, c, false, e);

	for (size_t i = 0; r == 0 && i < p->profile.gens.n; i++)
		r = list_one(p, c, p->profile.gens.v[i], &out, e);
	if (r == 0 && str_err(&out))
		r = no_memory(e);
	if (r == 0 && c->json)
		printf("[%s]\n", out.buf);
	return r < 0 ? r : end_output(e);
}

/* ---- Pulling --------------------------------------------------------------------------------- */

static int make_dir(struct pull *p, struct err *e)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX];
	int r = path_join(dir, tmp && *tmp == '/' ? tmp : "/tmp", "cairn-pull-XXXXXX");

	if (r < 0)
		return err_num(e, r, "TMPDIR");
	if (!mkdtemp(dir))
		return err_sys(e, "%s", dir);
	memcpy(p->dir, dir, sizeof(dir));
	return 0;
}

/* The tree becomes an item, by its own modules: so whatever is evaluated with that item makes the
 * same item again, and a generation has it. */
static int make_item(struct pull *p, struct ctx *c, struct store_conn *conn, char **ret,
		     struct err *e)
{
	struct arena *a = &p->profile.arena;
	auto_str struct str record = STR_INIT;
	char *tree = arena_fmt(a, "%s/tree", p->dir);
	char *file = arena_fmt(a, "%s/tree/" CHANNEL_RECORD, p->dir);
	struct sys_eval_request req = { .kind = SYS_EVAL_EXPR, .text = MODULES_EXPRESSION };
	struct sys_eval *ev = NULL;
	int r;

	channel_record_text(&p->new, &record);
	if (!tree || !file || str_err(&record))
		return no_memory(e);
	r = file_write_atomic(AT_FDCWD, file, record.buf, record.len, 0644, e);
	c->eval.modules = tree;
	c->eval.store_dir = c->store.store_dir;
	if (r == 0)
		r = sys_eval_run(&c->eval, &req, &ev, e);
	if (r == 0)
		r = sys_eval_build(ev, conn, NULL, e);
	if (r == 0) {
		*ret = arena_str(a, sys_eval_at(ev, 0)->value);
		r = *ret ? 0 : no_memory(e);
	}
	sys_eval_free(ev);
	return r < 0 ? err_wrap(e, r, "%s", p->new.url) : 0;
}

/* One object, whatever came of it. g NULL: there is no generation of it; c NULL: nor a channel. */
static int print_result(const struct channel *c, const char *result, unsigned from,
			const struct links_item *g, struct err *e)
{
	auto_str struct str out = STR_INIT;

	str_addf(&out, "{\"result\":\"%s\"", result);
	str_addf(&out, from ? ",\"from\":%u" : ",\"from\":null", from);
	str_addf(&out, g ? ",\"generation\":%u,\"modules\":" : ",\"generation\":null,\"modules\":",
		 g ? g->number : 0);
	if (g)
		text_json(&out, slice_of(g->path));
	else
		str_add(&out, "null");
	str_add(&out, ",\"channel\":");
	if (c)
		channel_json(c, &out);
	else
		str_add(&out, "null");
	if (str_err(&out))
		return no_memory(e);
	printf("%s}\n", out.buf);
	return 0;
}

static int install(struct pull *p, struct ctx *c, struct err *e)
{
	struct store_conn *conn = NULL;
	unsigned number = 0, from = p->profile.current;
	char *item = NULL;
	int r = channel_fetch_tree(&p->new, p->dir, e);

	if (r == 0)
		r = store_open(&c->store, &conn, e);
	if (r == 0)
		r = make_item(p, c, conn, &item, e);
	if (r == 0)
		r = profile_commit(&p->profile, conn, item, &number, e);
	store_close(conn);
	if (r < 0)
		return r;
	fprintf(stderr, "generation %u of the modules; 'cairn system reconfigure' uses them\n",
		number);
	if (c->json)
		return print_result(&p->new, "pulled", from,
				    &(const struct links_item){ .number = number, .path = item },
				    e);
	printf("%s\n", item);
	return 0;
}

static int check_new(struct pull *p, const struct ctx *c, struct err *e)
{
	int r = make_dir(p, e);

	if (r == 0)
		r = channel_fetch_index(&p->profile.arena, p->settings.url, p->settings.key, p->dir,
					&p->new, e);
	if (r < 0 || !p->has_old)
		return r;
	r = channel_compare(&p->old, &p->new, &p->same, e);
	if (r == -ERR_INVALID && c->allow_downgrade) {
		*e = (struct err)ERR_INIT;
		r = 0;
	}
	return r;
}

static int pull(struct pull *p, struct ctx *c, struct err *e)
{
	int r = open_profile(p, c, !c->dry_run, e);

	if (r == 0)
		r = find_settings(p, c, e);
	if (r == 0)
		r = find_old(p, e);
	if (r == 0)
		r = check_new(p, c, e);
	if (r < 0)
		return r;
	if (p->same) {
		fprintf(stderr, "%s number %llu is what this machine has\n", p->new.name,
			(unsigned long long)p->new.serial);
		if (c->json)
			r = print_result(&p->new, "unchanged", p->profile.current,
					 profile_current(&p->profile), e);
		return r < 0 ? r : end_output(e);
	}
	if (!c->dry_run)
		fprintf(stderr, "%s number %llu from %s\n", p->new.name,
			(unsigned long long)p->new.serial, p->new.url);
	if (!c->dry_run)
		r = install(p, c, e);
	else if (c->json)
		r = print_result(&p->new, "planned", p->profile.current, NULL, e);
	else
		show_text(&p->new, "");
	return r < 0 ? r : end_output(e);
}

/* From the first pull it is back to the modules that the system itself has. */
static int roll_back(struct pull *p, struct ctx *c, struct err *e)
{
	const struct links_item *to = NULL;
	struct channel x = { 0 };
	unsigned from;
	int r = open_profile(p, c, !c->dry_run, e);

	if (r < 0)
		return r;
	from = p->profile.current;
	for (size_t i = 0; i < p->profile.gens.n; i++) {
		const struct links_item *g = p->profile.gens.v[i];

		if (g->number < from)
			to = g;
	}
	if (!from)
		return err_set(e, -ERR_NOTFOUND, "nothing was pulled that could be taken back");
	if (c->json && to)
		r = load_record(p, to, &x, e);
	if (r == 0 && !c->dry_run)
		r = to ? profile_select(&p->profile, to->number, e)
		       : profile_deselect(&p->profile, e);
	if (r == 0 && c->json)
		r = print_result(to ? &x : NULL, c->dry_run ? "planned" : "rolled-back", from, to,
				 e);
	if (r < 0 || c->json)
		return r < 0 ? r : end_output(e);
	printf("%s from generation %u of the modules to ", c->dry_run ? "would switch" : "switched",
	       from);
	if (to)
		printf("%u\n", to->number);
	else
		puts("those of the system");
	return end_output(e);
}

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	struct pull p = { .profile = PROFILE_INIT };
	int r;

	if (c->list && c->roll_back)
		return cmd_usage(e, "--list and --roll-back do not go together");
	r = c->list ? list(&p, c, e) : c->roll_back ? roll_back(&p, c, e) : pull(&p, c, e);
	pull_done(&p);
	return r;
}

static const struct cmd_opt options[] = {
	{ "url", 0, CMD_STR, offsetof(struct ctx, url), "URL",
	  "where from: https://…, file://… or git+https://…[#BRANCH]" },
	{ "key", 0, CMD_STR, offsetof(struct ctx, key), "KEY",
	  "the public key that must have signed it, NAME:BASE64" },
	{ "allow-downgrade", 0, CMD_FLAG, offsetof(struct ctx, allow_downgrade), NULL,
	  "take also what is older, or does not follow" },
	{ "roll-back", 0, CMD_FLAG, offsetof(struct ctx, roll_back), NULL,
	  "back to the modules from before, without asking anybody" },
	{ "list", 'l', CMD_FLAG, offsetof(struct ctx, list), NULL,
	  "list what was pulled, and is still there" },
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct ctx, dry_run), NULL,
	  "say what there is, get nothing" },
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, json), NULL, "as JSON" },
	STORE_OPTIONS_BASIC(struct ctx, store),
	STORE_OPTIONS_BUILD(struct ctx, store),
};

const struct cmd sys_cmd_pull = {
	.name = "pull",
	.summary = "get new recipes and services for this machine, signed",
	.examples = "cairn pull -n            what there is\n"
		    "cairn pull               get it; 'cairn system reconfigure' then uses it\n"
		    "cairn pull --roll-back   not that",
	.help = "The next 'cairn system reconfigure' is made with what was pulled. Where from and\n"
		"which key: 'channel' of the configuration, /etc/cairn/pull, or the options.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.run = run,
};
