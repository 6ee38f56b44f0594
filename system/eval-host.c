/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parent's side of an evaluation: starts the box, hands in files, and reads the result as
 * something a stranger sent.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"
#include "lib/vec.h"
#include "lib/wire.h"
#include "store/store.h"
#include "system/box.h"
#include "system/channel.h"
#include "system/eval.h"
#include "system/graph.h"
#include "system/modules.h"
#include "system/program/program.h"
#include "system/realise.h"
#include "system/sketch.h"
#include "system/sources.h"

#define DEFAULT_MEMORY	     ((uint64_t)256 << 20)
#define DEFAULT_INSTRUCTIONS UINT64_C(300000000)
#define DEFAULT_SECONDS	     30
#define MODULES_MARK	     PRELUDE
#define MODULES_PULLED	     STORE_STATE_DEFAULT CHANNEL_PROFILE
#define MODULES_MACHINE	     "/run/current-system/modules"

#ifndef CAIRN_SOURCE_DIR
#define CAIRN_SOURCE_DIR ""
#endif

struct sys_eval {
	struct arena arena;
	struct str msg; /* what the child sent; the graph borrows from it */
	struct graph graph;
	struct sources sources;
	struct sys_eval_result *results;
	size_t nresults;
	/* Values of the notes "modules" ("KERNEL\nNAME\tPLACE\n…"), "types" (the same of what file
	 * systems and mapped devices need) and "warning": */
	struct vec modules, types, warnings;
};

/* ---- Where the modules are --------------------------------------------------------------------
 */

static bool has_modules(const char *dir)
{
	char path[PATH_MAX];

	return dir && *dir && path_join(path, dir, MODULES_MARK) == 0 && access(path, R_OK) == 0;
}

int sys_modules_dir(const char *option, struct arena *a, char **ret, struct err *e)
{
	const char *env = getenv("CAIRN_MODULES");
	const char *asked = option ? option : env && *env ? env : NULL;
	const char *dir = asked;

	if (asked && !has_modules(asked))
		return err_set(e, -ERR_NOTFOUND, "%s: not a modules directory: no %s in it", asked,
			       MODULES_MARK);
	if (!dir)
		dir = has_modules(CAIRN_SOURCE_DIR) ? CAIRN_SOURCE_DIR
		      : has_modules(MODULES_PULLED) ? MODULES_PULLED
						    : MODULES_MACHINE;
	if (!has_modules(dir))
		return err_hint(e, err_set(e, -ERR_NOTFOUND, "no directory of Lua modules found"),
				"give --modules DIR or set CAIRN_MODULES");
	*ret = arena_str(a, dir);
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

int sys_type_modules(struct arena *a, const char *dir, char **ret, struct err *e)
{
	auto_vec struct vec names = VEC_INIT;
	auto_str struct str out = STR_INIT;
	const char *path = arena_fmt(a, "%s/services", dir);
	DIR *d = path ? opendir(path) : NULL;
	struct dirent *entry;
	int more;

	if (!d)
		return err_sys(e, "%s/services", dir);
	while ((more = file_next(d, &entry)) > 0) {
		struct slice name = slice_of(entry->d_name);

		if (name.n > 4 && strcmp(entry->d_name + name.n - 4, ".lua") == 0 &&
		    name.p[0] != '.' && !slice_is(name, "init.lua"))
			vec_add(&names, arena_slice(a, (struct slice){ name.p, name.n - 4 }));
	}
	closedir(d);
	if (more < 0)
		return err_num(e, more, "%s/services", dir);
	vec_sort_str(&names);
	str_add(&out, "types=");
	for (size_t i = 0; i < names.n; i++)
		str_addf(&out, "%s%s", i ? " " : "", (const char *)names.v[i]);
	*ret = arena_str(a, out.buf);
	return names.err || str_err(&out) || !*ret ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* ---- Serving the box --------------------------------------------------------------------------
 */

static int serve_question(struct sys_eval *ev, struct box *b, enum eval_msg what, struct err *e)
{
	struct rd rd = rd_of(ev->msg.buf, ev->msg.len);
	uint64_t root = rd_u64(&rd);
	struct slice raw = rd_str(&rd, PATH_MAX - 1);
	auto_str struct str text = STR_INIT;
	struct err why = ERR_INIT;
	char path[PATH_MAX];
	int r;

	if (rd_done(&rd) < 0 || memchr(raw.p ? raw.p : "", 0, raw.n))
		return err_set(e, -ERR_PROTO, "evaluation: malformed question");
	snprintf(path, sizeof(path), "%.*s", (int)raw.n, raw.p);
	r = what == EVAL_MSG_READ      ? sources_read(&ev->sources, root, path, &text, &why)
	    : what == EVAL_MSG_NEAREST ? sources_nearest(&ev->sources, root, path, &text)
				       : sources_exists(&ev->sources, root, path, &why);
	if (r == -ENOENT)
		r = box_reply(b, EVAL_MSG_NOFILE, SLICE(""));
	else if (r < 0)
		r = box_reply(b, EVAL_MSG_REFUSED, slice_of(why.msg));
	else
		r = box_reply(b, EVAL_MSG_FILE, str_slice(&text));
	/* A child that went away is noticed, with its reason, when the next message is read. */
	return r == -EPIPE || r == -ECONNRESET ? 0 : r < 0 ? err_num(e, r, "evaluator: write") : 0;
}

static void serve_log(const char *what, struct slice text)
{
	auto_str struct str line = STR_INIT;

	str_add(&line, what);
	text_safe(&line, text);
	str_addc(&line, '\n');
	(void)fd_write_full(STDERR_FILENO, line.buf, line.len); /* only a remark */
}

/* Until the child has said its last word. */
static int serve(struct sys_eval *ev, struct box *b, struct err *e)
{
	for (;;) {
		uint64_t type = 0;
		int r = box_wait(b, &type, &ev->msg, LIMIT_EVAL_RESULT, e);

		if (r < 0)
			return r;
		switch (type) {
		case EVAL_MSG_READ:
		case EVAL_MSG_EXISTS:
		case EVAL_MSG_NEAREST:
			r = serve_question(ev, b, (enum eval_msg)type, e);
			if (r < 0)
				return r;
			break;
		case EVAL_MSG_LOG:
			serve_log("", str_slice(&ev->msg));
			break;
		case EVAL_MSG_ERROR: {
			auto_str struct str text = STR_INIT;
			/* Newlines are wanted here; other control bytes are not. */
			struct slice rest = str_slice(&ev->msg), line;
			while (slice_cut(&rest, '\n', &line)) {
				if (text.len)
					str_addc(&text, '\n');
				text_safe(&text, line);
			}
			return err_set(e, -ERR_EVAL, "%s", text.buf);
		}
		case EVAL_MSG_RESULT:
			return 0;
		default:
			return err_set(e, -ERR_PROTO, "evaluation: unknown message");
		}
	}
}

/* ---- Setting up -------------------------------------------------------------------------------
 */

static int open_root(const char *dir, int *ret, struct err *e)
{
	*ret = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_sys(e, "%s", dir) : 0;
}

/* Root 1 is the directory of the file; a link (as in /etc) is followed first, since nothing below a
 * root may lead out of it. */
static int set_file(struct sys_eval *ev, const char *file, struct program *p, struct err *e)
{
	char dir[PATH_MAX];
	struct stat st;

	if (lstat(file, &st) < 0)
		return err_sys(e, "%s", file);
	if (S_ISLNK(st.st_mode)) {
		char *real = realpath(file, NULL);
		const char *copy = real ? arena_str(&ev->arena, real) : NULL;
		free(real);
		if (!copy)
			return err_sys(e, "%s", file);
		file = copy;
		if (stat(file, &st) < 0)
			return err_sys(e, "%s", file);
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, -ERR_INVALID, "%s: not a regular file", file);
	if (path_dir(dir, file) < 0)
		return err_set(e, -ERR_INVALID, "%s: name too long", file);
	p->text = path_base(file);
	p->display = arena_strn(&ev->arena, file, (size_t)(p->text - file));
	return open_root(dir, &ev->sources.dirfd[1], e);
}

/* What the program is told about the request. */
static int set_request(struct sys_eval *ev, const struct sys_eval_request *req, struct program *p,
		       struct err *e)
{
	p->text = req->text;
	p->display = "";
	p->apply = req->apply;
	p->args = req->args;
	p->nargs = req->nargs;
	switch (req->kind) {
	case SYS_EVAL_NAME:
		p->kind = "name";
		return 0;
	case SYS_EVAL_EXPR:
		p->kind = "expr";
		return open_root(".", &ev->sources.dirfd[1], e);
	case SYS_EVAL_FILE:
		p->kind = "file";
		return set_file(ev, req->text, p, e);
	}
	return err_set(e, -ERR_INTERNAL, "unknown kind of request");
}

static int collect_results(struct sys_eval *ev, struct err *e)
{
	struct graph *g = &ev->graph;

	ev->results = arena_array(&ev->arena, g->nresults, sizeof(*ev->results));
	if (!ev->results)
		return err_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < g->nresults; i++) {
		const struct graph_result *r = &g->results[i];
		bool drv = r->node && r->node->kind == NODE_DRV;
		if (r->note) {
			if (slice_is(r->key, "modules"))
				vec_add(&ev->modules, (void *)r->value);
			else if (slice_is(r->key, "warning"))
				vec_add(&ev->warnings, (void *)r->value);
			else if (slice_is(r->key, "types"))
				vec_add(&ev->types, (void *)r->value);
			continue;
		}
		ev->results[ev->nresults++] = (struct sys_eval_result){
			arena_slice(&ev->arena, r->key),
			r->value,
			drv ? r->node->store : NULL,
			drv ? r->output : NULL,
			r->node != NULL,
		};
	}
	return arena_err(&ev->arena) || ev->modules.err || ev->types.err || ev->warnings.err
		       ? err_set(e, -ENOMEM, "out of memory")
		       : 0;
}

static int evaluate(struct sys_eval *ev, struct program *p, uint64_t seconds, struct err *e)
{
	struct box box = BOX_INIT;
	int r;

	(void)digest_of(DIGEST_SHA256, "", 0); /* the library starts up before the box closes */
	r = box_start(&box, seconds, program_main, p, e);
	if (r == 0)
		r = serve(ev, &box, e);
	box_done(&box);
	if (r == 0)
		r = graph_load(&ev->graph, p->store_dir, str_slice(&ev->msg), sources_hash,
			       &ev->sources, e);
	sources_save(&ev->sources);
	return r;
}

int sys_eval_run(const struct sys_eval_opts *opts, const struct sys_eval_request *req,
		 struct sys_eval **ret, struct err *e)
{
	struct sys_eval *ev = calloc(1, sizeof(*ev));
	struct program p = { 0 };
	char *modules;
	int r;

	if (!ev)
		return err_set(e, -ENOMEM, "out of memory");
	ev->msg = (struct str)STR_INIT;
	ev->sources = (struct sources)SOURCES_INIT;
	ev->modules = ev->types = ev->warnings = (struct vec)VEC_INIT;
	p.memory = opts->memory ? opts->memory : DEFAULT_MEMORY;
	p.instructions = opts->instructions ? opts->instructions : DEFAULT_INSTRUCTIONS;
	p.store_dir = arena_str(&ev->arena, opts->store_dir ? opts->store_dir : STORE_DIR_DEFAULT);
	r = sys_modules_dir(opts->modules, &ev->arena, &modules, e);
	if (r == 0)
		r = open_root(modules, &ev->sources.dirfd[0], e);
	if (r == 0)
		r = set_request(ev, req, &p, e);
	if (r == 0 && arena_err(&ev->arena))
		r = err_set(e, -ENOMEM, "out of memory");
	if (r == 0)
		r = evaluate(ev, &p, opts->seconds ? opts->seconds : DEFAULT_SECONDS, e);
	if (r == 0)
		r = collect_results(ev, e);
	for (size_t i = 0; r == 0 && i < ev->warnings.n; i++)
		serve_log("warning: ", slice_of(ev->warnings.v[i]));
	if (r < 0)
		sys_eval_free(ev);
	else
		*ret = ev;
	return r;
}

struct slice sys_eval_text(const struct sys_eval *ev)
{
	return str_slice(&ev->msg);
}

void sys_eval_free(struct sys_eval *ev)
{
	if (!ev)
		return;
	graph_done(&ev->graph);
	sources_done(&ev->sources);
	str_done(&ev->msg);
	vec_done(&ev->modules);
	vec_done(&ev->types);
	vec_done(&ev->warnings);
	arena_done(&ev->arena);
	free(ev);
}

/* ---- Results ----------------------------------------------------------------------------------
 */

size_t sys_eval_count(const struct sys_eval *ev)
{
	return ev->nresults;
}

const struct sys_eval_result *sys_eval_at(const struct sys_eval *ev, size_t i)
{
	return &ev->results[i];
}

const struct sys_eval_result *sys_eval_find(const struct sys_eval *ev, const char *key)
{
	for (size_t i = 0; i < ev->nresults; i++)
		if (strcmp(ev->results[i].key, key) == 0)
			return &ev->results[i];
	return NULL;
}

const char *sys_eval_value(const struct sys_eval *ev, const char *key)
{
	const struct sys_eval_result *r = sys_eval_find(ev, key);

	return r ? r->value : NULL;
}

const struct vec *sys_eval_warnings(const struct sys_eval *ev)
{
	return &ev->warnings;
}

/* "NAME\tPLACE" lines, one at least, into names (with NULL at the end) and places. */
static int parse_modules(struct arena *a, struct slice rest, struct vec *names, struct vec *places,
			 struct err *e)
{
	struct slice line, name;

	while (slice_cut(&rest, '\n', &line)) {
		if (!slice_cut(&line, '\t', &name))
			return err_set(e, -ERR_PROTO, "evaluation: malformed note");
		vec_add(names, arena_slice(a, name));
		vec_add(places, arena_slice(a, line));
	}
	/* Who has nothing to ask for makes no note, and places has none to name then. */
	if (!names->n)
		return err_set(e, -ERR_PROTO, "evaluation: malformed note");
	vec_add(names, NULL);
	return names->err || places->err || arena_err(a) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

/* One note. A kernel that is not here, or not yet, says nothing. types: nobody
 * named the modules, file systems and devices need them, and a kernel without modules may have
 * them in itself. */
static int check_kernel(struct store_conn *c, struct slice note, bool types, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT, places = VEC_INIT;
	auto_str struct str place = STR_INIT;
	struct slice path = { "", 0 };
	const char *kernel, *dir, *near;
	bool valid = false;
	size_t i;
	int r;

	(void)slice_cut(&note, '\n', &path);
	r = parse_modules(&a, note, &names, &places, e);
	kernel = arena_slice(&a, path);
	dir = r == 0 && kernel ? store_conn_physical(c, &a, kernel) : NULL;
	if (r == 0 && !dir)
		return err_set(e, -ENOMEM, "out of memory");
	if (r == 0)
		r = store_is_valid(c, kernel, &valid, e);
	if (r < 0 || !valid || access(dir, R_OK) < 0)
		return r;
	r = modules_missing(&a, dir, (const char *const *)names.v, &i, &near, e);
	if (types && (r == -ENOENT || r == -ERR_NOTFOUND))
		return 0;
	if (r == 0 && !names.v[i])
		return 0;
	near = types ? NULL : near; /* nobody wrote the name */
	text_safe(&place, slice_of(places.v[r < 0 ? 0 : i]));
	if (r < 0)
		return err_wrap(e, r, "%s", place.buf);
	return err_set(e, -ERR_EVAL, "%s: the kernel has no module '%s'%s%s%s", place.buf,
		       (const char *)names.v[i], near ? "; did you mean '" : "", near ? near : "",
		       near ? "'?" : "");
}

int sys_eval_check(struct sys_eval *ev, struct store_conn *c, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < ev->modules.n && r == 0; i++)
		r = check_kernel(c, slice_of(ev->modules.v[i]), false, e);
	for (size_t i = 0; i < ev->types.n && r == 0; i++)
		r = check_kernel(c, slice_of(ev->types.v[i]), true, e);
	return r;
}

int sys_eval_add(struct sys_eval *ev, struct store_conn *c, struct err *e)
{
	int r = sys_eval_check(ev, c, e);

	return r < 0 ? r : realise(c, &ev->graph, &ev->sources, e);
}

int sys_eval_build(struct sys_eval *ev, struct store_conn *c, const char *key, struct err *e)
{
	auto_vec struct vec things = VEC_INIT;
	struct err why = ERR_INIT;
	int r = sys_eval_add(ev, c, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ev->nresults; i++) {
		const struct sys_eval_result *res = &ev->results[i];
		if (res->drv && (!key || strcmp(res->key, key) == 0))
			vec_add(&things, arena_fmt(&ev->arena, "%s!%s", res->drv, res->output));
	}
	if (things.err || arena_err(&ev->arena))
		return err_set(e, -ENOMEM, "out of memory");
	if (!things.n)
		return 0;
	r = store_build(c, (const char *const *)things.v, things.n, e);
	/* A kernel that came only now may say more exactly what is wrong. */
	if (r < 0 && sys_eval_check(ev, c, &why) < 0 && why.code == -ERR_EVAL)
		return err_set(e, why.code, "%s", why.msg);
	return r;
}

int sys_eval_missing(struct sys_eval *ev, struct store_conn *c, struct vec *ret, struct err *e)
{
	int r = sys_eval_check(ev, c, e);

	return r < 0 ? r : realise_missing(c, &ev->graph, ret, e);
}

int sys_eval_sketch(struct sys_eval *ev, const char *key, const char *dir, struct err *e)
{
	for (size_t i = 0; i < ev->graph.nresults; i++)
		if (slice_is(ev->graph.results[i].key, key) && ev->graph.results[i].node)
			return sketch_write(&ev->graph, ev->graph.results[i].node, dir, e);
	return err_set(e, -ERR_EVAL, "the result is not a system");
}

bool sys_eval_refs(const struct sys_eval *ev, const char *path, struct vec *ret)
{
	return sketch_refs(&ev->graph, path, ret);
}
