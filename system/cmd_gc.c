/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system gc: old generations, their boot files, and what nothing in the store needs any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/text.h"
#include "system/freed.h"
#include "system/keep.h"
#include "system/system.h"

#define DAY 86400

struct ctx {
	struct switcher_opts sw;
	const char *keep, *keep_days, *free;
};

struct policy {
	bool by_number, by_age;
	uint64_t number, days;
	bool limited; /* only until so much is free: */
	uint64_t free;
};

/* What is collected. */
struct result {
	struct gen_list go, stay;
	uint64_t items, bytes;
};

static int read_policy(const struct ctx *c, struct policy *ret, struct err *e)
{
	*ret = (struct policy){ .by_number = c->keep, .by_age = c->keep_days, .limited = c->free };
	if (c->keep && text_u64(slice_of(c->keep), GEN_COUNT_MAX, &ret->number) < 0)
		return cmd_usage(e, "--keep: '%s' is not a number of generations", c->keep);
	if (c->keep_days && text_u64(slice_of(c->keep_days), 100000, &ret->days) < 0)
		return cmd_usage(e, "--keep-days: '%s' is not a number of days", c->keep_days);
	if (c->free && text_size(slice_of(c->free), &ret->free) < 0)
		return cmd_usage(e, "--free: '%s' is no size [like 20G]", c->free);
	return 0;
}

/* One goes when every rule that was given lets it go; that of age none whose age is not known.
 * rank: 0 for the newest. */
static bool goes(const struct policy *p, const struct gen *g, size_t rank, int64_t now)
{
	return (p->by_number || p->by_age) && !(p->by_number && rank < p->number) &&
	       !(p->by_age && (!g->date || now - g->date <= (int64_t)p->days * DAY));
}

static int choose(struct switcher *s, const struct policy *p, struct result *x, struct err *e)
{
	int64_t now = (int64_t)time(NULL);
	struct keep keep;
	int rc = p->by_age ? keep_check_clock(e) : 0;

	if (rc == 0)
		rc = keep_load(s, &keep, e);
	x->go.v = arena_array(&s->arena, s->list.n + 1, sizeof(*x->go.v));
	x->stay.v = arena_array(&s->arena, s->list.n + 1, sizeof(*x->stay.v));
	x->stay.current = s->list.current;
	if (rc == 0 && (!x->go.v || !x->stay.v))
		rc = err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; rc == 0 && i < s->list.n; i++) {
		const struct gen *g = &s->list.v[i];

		if (!keep_wanted(&keep, g) && goes(p, g, s->list.n - 1 - i, now))
			x->go.v[x->go.n++] = *g;
		else
			x->stay.v[x->stay.n++] = *g;
	}
	return rc;
}

/* How much has to go until enough is free where the store is; UINT64_MAX: everything. */
static int max_freed(struct store_conn *conn, struct arena *a, const struct policy *p,
		     uint64_t *ret, struct err *e)
{
	char *dir = store_conn_physical(conn, a, store_conn_dir(conn));
	struct statvfs v;
	uint64_t have;

	*ret = UINT64_MAX;
	if (!p->limited)
		return 0;
	if (!dir)
		return err_set(e, -ENOMEM, "out of memory");
	if (statvfs(dir, &v) < 0)
		return err_sys(e, "free space of %s", dir);
	have = (uint64_t)v.f_bavail * v.f_frsize;
	*ret = p->free > have ? p->free - have : 0;
	return 0;
}

/* ---- What would go ----------------------------------------------------------------------------
 */

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_link_of(const struct switcher *s, const struct gen_list *list, const char *link)
{
	auto_arena struct arena a = ARENA_INIT;

	for (size_t i = 0; i < list->n; i++) {
		char *mine = arena_fmt(&a, "%s" GEN_PROFILES "/system-%u-link", s->root.target,
				       list->v[i].number);
		size_t n = mine ? strlen(mine) : 0, all = strlen(link);

		/* The store may see the machine's directories under another name. */
		if (mine && all <= n && strcmp(mine + n - all, link) == 0)
			return true;
		mine = arena_fmt(&a, GEN_PROFILES "/system-%u-link", list->v[i].number);
		n = mine ? strlen(mine) : 0;
		if (mine && all >= n && strcmp(link + all - n, mine) == 0)
			return true;
	}
	return false;
}

/* Everything valid, as a collection sees it: what is live keeps what it refers to, and the
 * derivation that it came from. */
struct valid {
	struct arena *a;
	struct vec paths; /* sorted */
	struct store_info **infos;
	bool *live;
	size_t *todo, ntodo; /* indices */
};

static void reach(struct valid *v, const char *path)
{
	void **at =
		path[0] ? bsearch(&path, v->paths.v, v->paths.n, sizeof(void *), compare) : NULL;
	size_t i = at ? (size_t)(at - v->paths.v) : 0;

	if (!at || v->live[i])
		return;
	v->live[i] = true;
	v->todo[v->ntodo++] = i;
}

static int load_valid(struct store_conn *conn, struct valid *v, struct err *e)
{
	int rc = store_all_valid(conn, v->a, &v->paths, e);

	if (rc < 0)
		return rc;
	v->infos = arena_array(v->a, v->paths.n + 1, sizeof(*v->infos));
	v->live = arena_array(v->a, v->paths.n + 1, sizeof(*v->live));
	v->todo = arena_array(v->a, v->paths.n + 1, sizeof(*v->todo));
	if (!v->infos || !v->live || !v->todo)
		return err_set(e, -ENOMEM, "out of memory");
	return store_infos(conn, v->a, (const char *const *)v->paths.v, v->paths.n, v->infos, e);
}

static int measure(struct store_conn *conn, struct arena *a, const struct vec *dead, uint64_t *ret,
		   struct err *e)
{
	const char *links = arena_fmt(a, "%s/.links", store_conn_dir(conn));
	char *dir = links ? store_conn_physical(conn, a, links) : NULL;
	auto_vec struct vec paths = VEC_INIT;

	for (size_t i = 0; i < dead->n; i++)
		vec_add(&paths, store_conn_physical(conn, a, dead->v[i]));
	if (!dir || paths.err || arena_err(a))
		return err_set(e, -ENOMEM, "out of memory");
	return freed_by(&paths, access(dir, F_OK) == 0, ret, e);
}

static int would_collect(struct store_conn *conn, struct switcher *s, struct result *x,
			 struct err *e)
{
	struct valid v = { .a = &s->arena, .paths = VEC_INIT };
	auto_vec struct vec pairs = VEC_INIT, dead = VEC_INIT;
	int rc = store_roots(conn, &s->arena, &pairs, e);

	if (rc == 0)
		rc = load_valid(conn, &v, e);
	for (size_t i = 0; rc == 0 && i + 1 < pairs.n; i += 2)
		if (!is_link_of(s, &x->go, pairs.v[i]))
			reach(&v, pairs.v[i + 1]);
	while (rc == 0 && v.ntodo) {
		const struct store_info *info = v.infos[v.todo[--v.ntodo]];

		reach(&v, info->deriver);
		for (size_t i = 0; i < info->nrefs; i++)
			reach(&v, info->refs[i]);
	}
	for (size_t i = 0; rc == 0 && i < v.paths.n; i++)
		if (!v.live[i])
			vec_add(&dead, v.paths.v[i]);
	x->items = dead.n;
	if (rc == 0)
		rc = measure(conn, &s->arena, &dead, &x->bytes, e);
	vec_done(&v.paths);
	return rc;
}

/* ---- What goes ---------------------------------------------------------------------------------
 */

/* To delete nothing is refused for all that a collection is refused for: the clock, marks, roots
 * that cannot be read, the database. */
static int check_store(struct store_conn *conn, struct arena *a, struct err *e)
{
	auto_vec struct vec paths = VEC_INIT;
	uint64_t bytes;
	int rc = store_gc(conn, a, STORE_GC_DELETE_THESE, NULL, 0, 0, &paths, &bytes, e);

	return rc == -ERR_REMOTE ? -ERR_UNSUPPORTED : rc;
}

static int free_items(struct store_conn *conn, struct arena *a, const struct policy *p,
		      struct result *x, struct err *e)
{
	auto_vec struct vec paths = VEC_INIT;
	uint64_t max;
	int rc = max_freed(conn, a, p, &max, e);

	if (rc == 0 && max)
		rc = store_gc(conn, a, STORE_GC_DELETE, NULL, 0, max, &paths, &x->bytes, e);
	x->items = paths.n;
	return rc;
}

static int collect(struct store_conn *conn, struct switcher *s, const struct policy *p,
		   struct result *x, struct err *e)
{
	int rc = check_store(conn, &s->arena, e);

	if (rc == 0)
		rc = keep_delete(s, &x->go, &x->stay, e);
	if (rc < 0)
		return rc;
	rc = free_items(conn, &s->arena, p, x, e);
	return rc < 0 ? keep_partial(&x->go, rc, e) : 0;
}

static int report(const struct ctx *c, const struct result *x, struct err *e)
{
	auto_str struct str out = STR_INIT;
	bool dry = c->sw.dry_run;
	char human[16];

	if (c->sw.json)
		str_addf(&out, "{\"dry_run\":%s,\"items\":%llu,\"bytes\":%llu,\"deleted\":[",
			 dry ? "true" : "false", (unsigned long long)x->items,
			 (unsigned long long)x->bytes);
	keep_tell_gone(&x->go, dry, c->sw.json, &out);
	text_human(x->bytes, human);
	if (c->sw.json)
		str_add(&out, "]}\n");
	else
		str_addf(&out, "%llu store item%s, %s %s\n", (unsigned long long)x->items,
			 x->items == 1 ? "" : "s", human, dry ? "would be freed" : "freed");
	if (str_err(&out))
		return err_set(e, -ENOMEM, "out of memory");
	fputs(out.buf, stdout);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static int run_gc(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct store_conn *conn = NULL;
	struct result x = { 0 };
	struct err ignored = ERR_INIT;
	struct policy p;
	int rc = read_policy(c, &p, e), said;

	if (rc == 0)
		rc = switcher_open(&s, &c->sw, "gc", !c->sw.dry_run, e);
	if (rc < 0)
		return rc;
	switcher_report_recovery(&s);
	if (!c->sw.store.root && s.root.store[0])
		c->sw.store.root = s.root.store;
	/* A collection may take long, and PID 1 needs the lock to go back. */
	rc = c->sw.dry_run ? 0 : switcher_check_decided(&s, e);
	if (rc == 0)
		rc = choose(&s, &p, &x, e);
	if (rc == 0)
		switcher_report_damaged(&s, &x.stay);
	if (rc == 0)
		rc = store_open(&c->sw.store, &conn, e);
	if (rc == 0)
		rc = c->sw.dry_run ? would_collect(conn, &s, &x, e) : collect(conn, &s, &p, &x, e);
	if (rc == 0 || rc == -ERR_PARTIAL) {
		said = report(c, &x, rc < 0 ? &ignored : e);
		if (rc == 0 && said < 0)
			rc = c->sw.dry_run ? said : err_wrap(e, -ERR_PARTIAL, "it is gone, but");
	}
	store_close(conn);
	return rc;
}

static const struct cmd_opt opts[] = {
	STORE_OPTIONS_BASIC(struct ctx, sw.store),
	SWITCHER_OPTIONS(struct ctx, sw),
	{ "keep", 0, CMD_STR, offsetof(struct ctx, keep), "N", "keep the N newest generations" },
	{ "keep-days", 0, CMD_STR, offsetof(struct ctx, keep_days), "D",
	  "keep the generations of the last D days, and of unknown age" },
	{ "free", 0, CMD_STR, offsetof(struct ctx, free), "SIZE",
	  "end when so much is free where the store is" },
	{ "dry-run", 'n', CMD_FLAG, offsetof(struct ctx, sw.dry_run), NULL,
	  "say what would go, delete nothing" },
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL, "what came of it as JSON" },
};

const struct cmd sys_cmd_gc = {
	.name = "gc",
	.summary = "delete old generations, their boot files, and what the store does not need",
	.examples = "cairn system gc --keep 5 --keep-days 14    then the store has no more than "
		    "these need",
	.help = "A generation goes when both --keep and --keep-days let it go; without these all\n"
		"stay. Never deleted are the current generation, the one before it, the active, "
		"the\n"
		"booted and the last good one, those of a trial with --confirm, and those that "
		"are\n"
		"pinned. A dry run counts items and blocks of the disk as the collection does; it "
		"does\n"
		"not end when --free is reached.",
	CMD_OPTS(opts),
	.context_size = sizeof(struct ctx),
	.statuses = &sys_statuses,
	.run = run_gc,
};
