/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn package: what changes the packages of a profile. Its generations are in
 * cmd_package-generations.c, what only looks at one is in cmd_package-show.c. */
#include "system/cmd_package.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/path.h"
#include "lib/text.h"
#include "system/packages.h"
#include "system/system.h"

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

int package_end_output(struct err *e)
{
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* ---- The profile ------------------------------------------------------------------------------
 */

/* The link of the user's own profile. A daemon makes its directory; in a private root we do. */
static int own_link(struct package_env *p, bool change, const char **ret, struct err *e)
{
	struct arena *a = &p->profile.arena;
	const struct passwd *pw = getpwuid(geteuid());
	const char *user = pw ? pw->pw_name : arena_fmt(a, "%u", (unsigned)geteuid());
	const char *dir = arena_fmt(a, "%s%s" PROFILE_PER_USER "/%s", p->places.root,
				    p->places.state_dir, user);
	int r = 0;

	*ret = arena_fmt(a, "%s/" PROFILE_USER, dir ? dir : "");
	if (arena_err(a))
		return no_memory(e);
	if (change && (p->places.root[0] || geteuid() == 0))
		r = file_mkdir_p(AT_FDCWD, dir, 0755, e);
	return r;
}

int package_open(struct package_env *p, const struct package_ctx *c, bool change, const char *verb,
		 struct err *e)
{
	const char *link = c->profile;
	int r = store_find_places(&c->store, &p->profile.arena, &p->places, e);

	p->own = !link;
	if (r == 0 && !link)
		r = own_link(p, change, &link, e);
	return r < 0 ? r
		     : profile_open(&p->profile, link, p->places.root, p->places.store_dir, change,
				    verb, e);
}

int package_installed(struct package_env *p, struct vec *ret, struct err *e)
{
	const struct links_item *g = profile_current(&p->profile);

	return g ? profile_manifest(&p->profile, g->path, ret, e) : profile_check(&p->profile, e);
}

/* A link that users find; one that is there already is theirs. */
static void make_home_link(struct package_env *p)
{
	auto_arena struct arena a = ARENA_INIT;
	const char *home = getenv("HOME");
	char *link = home && home[0] == '/' ? arena_fmt(&a, "%s/" PROFILE_HOME_LINK, home) : NULL;
	char *target = profile_link(&p->profile);

	if (!p->own || p->places.root[0] || !link || !target)
		return;
	if (symlink(target, link) < 0 && errno != EEXIST)
		fprintf(stderr, "warning: cannot make %s: %s\n", link, strerror(errno));
}

/* ---- What changes -----------------------------------------------------------------------------
 */

struct change {
	const struct profile_entry *from, *to; /* one of them may be NULL */
};

struct edit {
	struct vec before, after; /* struct profile_entry */
	struct sys_eval *ev;	  /* owned; NULL: nothing was evaluated */
};

#define EDIT_INIT                                                                                  \
	{                                                                                          \
		VEC_INIT, VEC_INIT, NULL                                                           \
	}

static void edit_done(struct edit *d)
{
	sys_eval_free(d->ev);
	vec_done(&d->before);
	vec_done(&d->after);
}

static bool same_thing(const struct profile_entry *x, const struct profile_entry *y)
{
	return strcmp(x->name, y->name) == 0 && strcmp(x->output, y->output) == 0;
}

static const struct profile_entry *find_entry(const struct vec *v, const struct profile_entry *like)
{
	for (size_t i = 0; i < v->n; i++)
		if (same_thing(v->v[i], like))
			return v->v[i];
	return NULL;
}

/* Replace what is there under that name, or add it. */
static void put_entry(struct vec *v, struct profile_entry *x)
{
	for (size_t i = 0; i < v->n; i++)
		if (same_thing(v->v[i], x)) {
			v->v[i] = x;
			return;
		}
	vec_add(v, x);
}

static bool is_same_list(const struct edit *d)
{
	if (d->before.n != d->after.n)
		return false;
	for (size_t i = 0; i < d->before.n; i++) {
		const struct profile_entry *x = d->before.v[i], *y = d->after.v[i];

		if (!same_thing(x, y) || strcmp(x->path, y->path) != 0)
			return false;
	}
	return true;
}

static const char *verb_of(const struct change *x)
{
	return !x->from ? "install" : !x->to ? "remove" : "upgrade";
}

static void tell_text(struct str *out, const struct change *x)
{
	const struct profile_entry *any = x->to ? x->to : x->from;
	bool other = strcmp(any->output, "out") != 0;

	str_addf(out, "%s ", verb_of(x));
	text_safe(out, slice_of(any->name));
	str_add(out, other ? ":" : "");
	text_safe(out, slice_of(other ? any->output : ""));
	str_addc(out, ' ');
	text_safe(out, slice_of(x->from ? x->from->version : x->to->version));
	if (x->from && x->to) {
		str_add(out, " -> ");
		text_safe(out, slice_of(x->to->version));
	}
	str_addc(out, '\n');
}

static void tell_field(struct str *out, const char *key, const char *value)
{
	str_addf(out, ",\"%s\":", key);
	text_json(out, slice_of(value));
}

static void tell_json(struct str *out, const struct change *x)
{
	const struct profile_entry *any = x->to ? x->to : x->from;

	str_addf(out, "%s{\"action\":\"%s\"", out->len ? ",\n" : "", verb_of(x));
	tell_field(out, "name", any->name);
	tell_field(out, "output", any->output);
	if (x->from)
		tell_field(out, "from_version", x->from->version);
	if (x->from)
		tell_field(out, "from", x->from->path);
	if (x->to)
		tell_field(out, "to_version", x->to->version);
	if (x->to)
		tell_field(out, "to", x->to->path);
	str_addc(out, '}');
}

static int tell(const struct package_ctx *c, const struct edit *d, struct err *e)
{
	void (*add)(struct str *, const struct change *) = c->json ? tell_json : tell_text;
	auto_str struct str out = STR_INIT;

	for (size_t i = 0; i < d->before.n; i++) {
		struct change x = { d->before.v[i], find_entry(&d->after, d->before.v[i]) };

		if (!x.to || strcmp(x.from->path, x.to->path) != 0)
			add(&out, &x);
	}
	for (size_t i = 0; i < d->after.n; i++) {
		struct change x = { NULL, d->after.v[i] };

		if (!find_entry(&d->before, x.to))
			add(&out, &x);
	}
	if (str_err(&out))
		return no_memory(e);
	printf(c->json ? "[%s]\n" : "%s", out.buf);
	return package_end_output(e);
}

/* ---- Carrying it out --------------------------------------------------------------------------
 */

static int build(struct package_env *p, const struct package_ctx *c, struct edit *d, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct store_conn *conn = NULL;
	char *item = NULL;
	unsigned number = 0;
	int r = store_open(&c->store, &conn, e);

	if (r == 0 && d->ev)
		r = sys_eval_build(d->ev, conn, NULL, e);
	for (size_t i = 0; r == 0 && i < d->after.n; i++)
		r = store_add_temp_root(conn, ((struct profile_entry *)d->after.v[i])->path, e);
	if (r == 0)
		r = profile_build(conn, &c->eval, &d->after, &a, &item, e);
	if (r == 0)
		r = profile_commit(&p->profile, conn, item, &number, e);
	store_close(conn);
	if (r < 0)
		return r;
	make_home_link(p);
	fprintf(stderr, "switched to generation %u\n", number);
	return 0;
}

static int carry_out(struct package_env *p, const struct package_ctx *c, struct edit *d,
		     struct err *e)
{
	int r = d->after.err ? no_memory(e) : tell(c, d, e);

	if (r < 0 || c->dry_run)
		return r;
	if (is_same_list(d)) {
		fprintf(stderr, "nothing changes\n");
		return 0;
	}
	return build(p, c, d, e);
}

/* What every verb that edits does: read, edit, carry out. */
typedef int edit_fn(struct package_env *p, const struct package_ctx *c, const struct vec *names,
		    struct edit *d, struct err *e);

static int run_edit(struct cmd_env *env, const char *verb, edit_fn *fn, struct err *e)
{
	struct package_ctx *c = env->ctx;
	struct package_env p = PACKAGE_ENV_INIT;
	auto_vec struct vec names = VEC_INIT;
	struct edit d = EDIT_INIT;
	int r;

	c->eval.store_dir = c->store.store_dir;
	for (size_t i = 0; i < env->nargs; i++)
		vec_add(&names, env->args[i]);
	r = names.err ? no_memory(e) : package_open(&p, c, !c->dry_run, verb, e);
	if (r == 0)
		r = package_installed(&p, &d.before, e);
	if (r == 0)
		r = fn(&p, c, &names, &d, e);
	if (r == 0)
		r = carry_out(&p, c, &d, e);
	edit_done(&d);
	profile_done(&p.profile);
	return r;
}

/* ---- install, remove, upgrade, apply ----------------------------------------------------------
 */

static void copy_before(struct edit *d)
{
	for (size_t i = 0; i < d->before.n; i++)
		vec_add(&d->after, d->before.v[i]);
}

static int evaluate(struct package_env *p, const struct package_ctx *c, const char *action,
		    const struct vec *names, const char *file, struct edit *d, struct err *e)
{
	struct packages_request q = { &c->eval, action, names, file };
	auto_vec struct vec found = VEC_INIT;
	int r = packages_evaluate(&q, &d->ev, e);

	if (r == 0)
		r = packages_entries(d->ev, &p->profile.arena, &found, e);
	for (size_t i = 0; r == 0 && i < found.n; i++)
		put_entry(&d->after, found.v[i]);
	return r;
}

static int edit_install(struct package_env *p, const struct package_ctx *c, const struct vec *names,
			struct edit *d, struct err *e)
{
	if (c->files.n > 1 || (!names->n && !c->files.n))
		return cmd_usage(e, "name packages, or one file with -f");
	copy_before(d);
	return evaluate(p, c, "targets", names, c->files.n ? c->files.v[0] : NULL, d, e);
}

static bool is_named(const struct profile_entry *x, const char *text)
{
	size_t n = strlen(x->name);

	return strncmp(x->name, text, n) == 0 &&
	       (text[n] == '\0' || (text[n] == ':' && strcmp(text + n + 1, x->output) == 0));
}

/* Each of names must be there. */
static int check_named(const struct vec *entries, const struct vec *names, struct err *e)
{
	for (size_t i = 0; i < names->n; i++) {
		bool found = false;

		for (size_t k = 0; k < entries->n && !found; k++)
			found = is_named(entries->v[k], names->v[i]);
		if (!found)
			return err_set(e, -ERR_NOTFOUND, "'%s' is not in the profile",
				       (const char *)names->v[i]);
	}
	return 0;
}

static bool is_among(const struct profile_entry *x, const struct vec *names)
{
	for (size_t i = 0; i < names->n; i++)
		if (is_named(x, names->v[i]))
			return true;
	return false;
}

static int edit_remove(struct package_env *p, const struct package_ctx *c, const struct vec *names,
		       struct edit *d, struct err *e)
{
	(void)p;
	(void)c;
	for (size_t i = 0; i < d->before.n; i++)
		if (!is_among(d->before.v[i], names))
			vec_add(&d->after, d->before.v[i]);
	return check_named(&d->before, names, e);
}

static int edit_upgrade(struct package_env *p, const struct package_ctx *c, const struct vec *names,
			struct edit *d, struct err *e)
{
	auto_vec struct vec which = VEC_INIT;
	int r = check_named(&d->before, names, e);

	copy_before(d);
	for (size_t i = 0; r == 0 && i < d->before.n; i++) {
		const struct profile_entry *x = d->before.v[i];

		if (!names->n || is_among(x, names))
			vec_add(&which, arena_fmt(&p->profile.arena, "%s:%s", x->name, x->output));
	}
	if (r == 0 && (which.err || arena_err(&p->profile.arena)))
		r = no_memory(e);
	if (r < 0 || !which.n)
		return r;
	/* What came from a file has no name that it could be found by: it stays. */
	return evaluate(p, c, names->n ? "targets" : "known", &which, NULL, d, e);
}

static int edit_apply(struct package_env *p, const struct package_ctx *c, const struct vec *names,
		      struct edit *d, struct err *e)
{
	return evaluate(p, c, "targets", NULL, names->v[0], d, e);
}

static int run_install(struct cmd_env *env, struct err *e)
{
	return run_edit(env, "package install", edit_install, e);
}

static int run_remove(struct cmd_env *env, struct err *e)
{
	return run_edit(env, "package remove", edit_remove, e);
}

static int run_upgrade(struct cmd_env *env, struct err *e)
{
	return run_edit(env, "package upgrade", edit_upgrade, e);
}

static int run_apply(struct cmd_env *env, struct err *e)
{
	return run_edit(env, "package apply", edit_apply, e);
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

#define BUILD_OPTS                                                                                 \
	PACKAGE_PROFILE, PACKAGE_DRY_RUN, PACKAGE_JSON,                                            \
		SYS_EVAL_OPTIONS(struct package_ctx, eval),                                        \
		STORE_OPTIONS_BASIC(struct package_ctx, store),                                    \
		STORE_OPTIONS_BUILD(struct package_ctx, store)

static const struct cmd_opt install_opts[] = {
	{ "file", 'f', CMD_LIST, offsetof(struct package_ctx, files), "FILE",
	  "install what the Lua file FILE returns, a package or a list" },
	BUILD_OPTS,
};
static const struct cmd_opt build_opts[] = { BUILD_OPTS };

/* The names of the packages would need an evaluation, so nothing is offered for them. */
static void no_operands(struct str *out)
{
	(void)out;
}

static const struct cmd install = {
	.name = "install",
	.synopsis = "[PACKAGE[:OUTPUT]...]",
	.summary = "add packages to the profile",
	.examples = "cairn package install curl git\n"
		    "cairn package install -f hello.lua    what a file returns",
	.help = "All that was asked for is built, or nothing changes. A package that is there\n"
		"already is replaced by what its name stands for now.",
	CMD_OPTS(install_opts),
	.context_size = sizeof(struct package_ctx),
	.max_args = SIZE_MAX,
	.operands = no_operands,
	.run = run_install,
};

static const struct cmd remove_ = {
	.name = "remove",
	.synopsis = "PACKAGE[:OUTPUT]...",
	.summary = "take packages out of the profile",
	.examples = "cairn package remove git",
	CMD_OPTS(build_opts),
	.context_size = sizeof(struct package_ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.operands = no_operands,
	.run = run_remove,
};

static const struct cmd upgrade = {
	.name = "upgrade",
	.synopsis = "[PACKAGE[:OUTPUT]...]",
	.summary = "replace packages of the profile by what their names stand for now",
	.examples = "cairn package upgrade -n    what there is that is newer\n"
		    "cairn package upgrade curl",
	.help = "Without names: all of them, but those that no name leads to.",
	CMD_OPTS(build_opts),
	.context_size = sizeof(struct package_ctx),
	.max_args = SIZE_MAX,
	.operands = no_operands,
	.run = run_upgrade,
};

static const struct cmd apply = {
	.name = "apply",
	.synopsis = "FILE",
	.summary = "make the profile hold what a manifest says, and nothing else",
	.examples = "cairn package apply -n packages.lua    what would change",
	.help = "FILE is a Lua file that returns a list of names and packages, as written by\n"
		"'cairn package export-manifest'.",
	CMD_OPTS(build_opts),
	.context_size = sizeof(struct package_ctx),
	.min_args = 1,
	.max_args = 1,
	.run = run_apply,
};

/* clang-format off */
static const struct cmd *const verbs[] = {
	&apply,
	&package_cmd_delete_generations,
	&package_cmd_export_manifest,
	&install,
	&package_cmd_list,
	&package_cmd_list_generations,
	&remove_,
	&package_cmd_roll_back,
	&package_cmd_search,
	&package_cmd_show,
	&package_cmd_switch_generation,
	&upgrade,
	NULL,
};
/* clang-format on */

const struct cmd sys_cmd_package = {
	.name = "package",
	.summary = "install, remove, upgrade and roll back packages of a user",
	.subs = verbs,
};
