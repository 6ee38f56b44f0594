/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn system diff: of two systems, whatever they are. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/text.h"
#include "system/switcher.h"
#include "system/system.h"
#include "system/wanted.h"

struct ctx {
	struct switcher_opts sw;
	struct sys_eval_opts eval;
};

/* One of the two. */
struct side {
	struct wanted wanted; /* of a configuration */
	struct plan_side at;
	char title[PATH_MAX + 32];
};

static int from_generation(struct switcher *s, unsigned number, struct side *ret, struct err *e)
{
	const struct gen *g = gen_find(&s->list, number);

	if (!g)
		return err_set(e, -ERR_NOTFOUND, "there is no generation %u", number);
	ret->at = (struct plan_side){ s->root, g->path };
	(void)snprintf(ret->title, sizeof(ret->title), "generation %u", number);
	return 0;
}

/* An item of the store, or a link to one: /run/booted-system, system-12-link, result. */
static int from_path(struct switcher *s, const char *path, struct side *ret, struct err *e)
{
	auto_str struct str target = STR_INIT;
	struct err ignored = ERR_INIT;
	const char *item = path;
	int rc;

	if (store_path_check(STORE_DIR_DEFAULT, slice_of(path), &ignored) < 0) {
		rc = file_readlink(AT_FDCWD, path, &target, e);
		if (rc < 0)
			return rc;
		item = arena_slice(&s->arena, str_slice(&target));
	}
	rc = item ? gen_check(&s->root, item, e) : err_set(e, -ENOMEM, "out of memory");
	if (rc < 0)
		return err_wrap(e, rc, "%s", path);
	ret->at = (struct plan_side){ s->root, item };
	(void)snprintf(ret->title, sizeof(ret->title), "%s", path);
	return 0;
}

static int find_side(const struct ctx *c, struct switcher *s, const char *arg, struct side *ret,
		     struct err *e)
{
	uint64_t number;
	struct stat st;
	int rc;

	if (text_u64(slice_of(arg), GEN_NUMBER_MAX, &number) == 0 && number)
		return from_generation(s, (unsigned)number, ret, e);
	if (slice_starts(slice_of(arg), STORE_DIR_DEFAULT "/") ||
	    (lstat(arg, &st) == 0 && S_ISLNK(st.st_mode) && stat(arg, &st) == 0 &&
	     S_ISDIR(st.st_mode)))
		return from_path(s, arg, ret, e);
	rc = wanted_open(&ret->wanted, &c->eval, arg, false, e);
	if (rc < 0)
		return rc;
	ret->at = wanted_side(&ret->wanted);
	(void)snprintf(ret->title, sizeof(ret->title), "%s", arg);
	return 0;
}

static int find_sides(const struct ctx *c, struct switcher *s, char **args, size_t n,
		      struct side *from, struct side *to, struct err *e)
{
	unsigned before = 0;
	int rc = 0;

	for (size_t i = 0; i < s->list.n && s->list.v[i].number < s->list.current; i++)
		before = s->list.v[i].number;
	if (n == 0 && !before)
		return err_set(e, -ERR_NOTFOUND, "there is no generation before the current one");
	if (n == 2)
		rc = find_side(c, s, args[0], from, e);
	else
		rc = from_generation(s, n ? s->list.current : before, from, e);
	if (rc == 0 && n)
		rc = find_side(c, s, args[n - 1], to, e);
	return rc == 0 && !n ? from_generation(s, s->list.current, to, e) : rc;
}

static bool refs_of_both(void *arg, const char *path, struct vec *ret)
{
	struct side *const *sides = arg;

	for (size_t i = 0; i < 2; i++)
		if (sides[i]->wanted.ev && wanted_refs(&sides[i]->wanted, path, ret))
			return true;
	return false;
}

/* A machine whose database or daemon is gone has no sizes, but differences all the same. */
static void add_sizes(const struct ctx *c, struct switcher *s, struct side *from, struct side *to,
		      struct plan *p)
{
	struct side *sides[] = { from, to };
	struct plan_sizer z = { NULL, !c->sw.store.no_substitutes, refs_of_both, sides };
	struct store_opts opts = c->sw.store;
	struct err why = ERR_INIT;
	int rc;

	if (!opts.root && s->root.store[0])
		opts.root = s->root.store;
	rc = store_open(&opts, &z.conn, &why);
	if (rc == 0)
		rc = plan_sizes(&z, &s->arena, from->at.system, to->at.system, p, &why);
	if (rc < 0)
		fprintf(stderr, "warning: sizes are not known: %s\n", why.msg);
	store_close(z.conn);
}

static int show(const struct ctx *c, const struct side *from, const struct side *to,
		const struct plan *p, struct err *e)
{
	auto_str struct str out = STR_INIT;

	if (c->sw.json) {
		str_add(&out, "{\"from\":");
		text_json(&out, slice_of(from->at.system));
		str_add(&out, ",\"to\":");
		text_json(&out, slice_of(to->at.system));
		str_add(&out, ",\"plan\":");
		plan_json(p, &out);
		str_add(&out, "}\n");
	} else {
		text_safe(&out, slice_of(from->title));
		str_add(&out, " -> ");
		text_safe(&out, slice_of(to->title));
		str_addc(&out, '\n');
		plan_text(p, &out);
	}
	if (str_err(&out))
		return err_set(e, -ENOMEM, "out of memory");
	fputs(out.buf, stdout);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

static int run_diff(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_switcher struct switcher s = SWITCHER_INIT;
	struct side from = { .wanted = WANTED_INIT }, to = { .wanted = WANTED_INIT };
	struct plan p = PLAN_INIT;
	int rc = switcher_open_any(&s, &c->sw, env->nargs == 2, e);

	if (rc == 0)
		rc = find_sides(c, &s, env->args, env->nargs, &from, &to, e);
	if (rc == 0) {
		const struct plan_request q = { .from = from.at, .to = to.at };

		rc = plan_make(&q, &s.arena, &p, e);
	}
	if (rc == 0) {
		add_sizes(c, &s, &from, &to, &p);
		rc = show(c, &from, &to, &p, e);
	}
	plan_done(&p);
	wanted_done(&from.wanted);
	wanted_done(&to.wanted);
	return rc;
}

static const struct cmd_opt opts[] = {
	STORE_OPTIONS_BASIC(struct ctx, sw.store),
	STORE_OPTIONS_BUILD(struct ctx, sw.store),
	SYS_EVAL_OPTIONS(struct ctx, eval),
	SWITCHER_OPTIONS(struct ctx, sw),
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, sw.json), NULL, "as JSON" },
};

const struct cmd sys_cmd_diff = {
	.name = "diff",
	.synopsis = "[A] [B]",
	.summary = "print what is different in two systems",
	.examples = "cairn system diff        the generation before and the current one\n"
		    "cairn system diff 3 7",
	.help = "A and B are numbers of generations, store paths of systems, links to such, or\n"
		"configurations, which are not built. Without B it is from the current generation "
		"to\n"
		"A; without both from the generation before to the current one.",
	CMD_OPTS(opts),
	.context_size = sizeof(struct ctx),
	.max_args = 2,
	.statuses = &sys_statuses,
	.run = run_diff,
};
