/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn archive: keys, and bundles of store items. */
#include <errno.h>
#include <stdio.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/tab.h"
#include "lib/text.h"
#include "lib/wire.h"
#include "store/remote/client.h"
#include "store/cmd_store.h"
#include "store/format/nar.h"
#include "store/subst/keys.h"

#define LIMIT_PATHS (64U << 20)

struct ctx {
	struct store_opts store;
	const char *dialect, *key_name, *extract;
	bool generate, authorize, export, import, list, missing, recursive, json;
	/* while running */
	char root[PATH_MAX], conf[PATH_MAX]; /* physical */
	enum dialect family;
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "authorize", 0, CMD_FLAG, offsetof(struct ctx, authorize), NULL,
	  "trust the public key on standard input" },
	{ "dialect", 0, CMD_STR, offsetof(struct ctx, dialect), "NAME",
	  "make a key for guix (default) or nix" },
	{ "export", 0, CMD_FLAG, offsetof(struct ctx, export), NULL,
	  "write the paths to standard output as a signed bundle" },
	{ "extract", 'x', CMD_STR, offsetof(struct ctx, extract), "DIR",
	  "unpack the one archive (NAR) on standard input as DIR" },
	{ "generate-key", 0, CMD_FLAG, offsetof(struct ctx, generate), NULL,
	  "make the key that signs what leaves this store" },
	{ "import", 0, CMD_FLAG, offsetof(struct ctx, import), NULL,
	  "add what a bundle on standard input holds" },
	{ "json", 0, CMD_FLAG, offsetof(struct ctx, json), NULL, "list as JSON" },
	{ "key-name", 0, CMD_STR, offsetof(struct ctx, key_name), "NAME",
	  "name of a key for nix (default: HOST-1)" },
	{ "list", 't', CMD_FLAG, offsetof(struct ctx, list), NULL,
	  "print what the one archive (NAR) on standard input holds" },
	{ "missing", 0, CMD_FLAG, offsetof(struct ctx, missing), NULL,
	  "print which paths on standard input are not in the store" },
	{ "recursive", 'r', CMD_FLAG, offsetof(struct ctx, recursive), NULL,
	  "export what the paths refer to as well" },
};

/* ---- Keys ------------------------------------------------------------------------------------ */

/* The root whose /etc holds the keys: the machine's for its administrator. */
static int find_root(struct ctx *x, struct err *e)
{
	struct store_conn *c = NULL;
	const char *root = x->store.root ? x->store.root : getenv("CAIRN_ROOT");
	int r = 0;

	if (!root && geteuid() == 0)
		return 0; /* "" */
	if (!root) {
		r = store_open(&x->store, &c, e);
		root = r == 0 ? store_conn_root(c) : "";
	}
	if (r == 0 && snprintf(x->root, sizeof(x->root), "%s", root) >= (int)sizeof(x->root))
		r = err_set(e, -ERR_USAGE, "--root is too long");
	store_close(c);
	return r;
}

static const char *conf_dir(void *arg, enum dialect d)
{
	struct ctx *x = arg;
	int n = snprintf(x->conf, sizeof(x->conf), "%s%s", x->root, dialect_facts(d)->conf_dir);

	return n < 0 || (size_t)n >= sizeof(x->conf) ? "" : x->conf;
}

static int generate_key(struct ctx *x, struct err *e)
{
	char host[65] = "", name[80];
	int r = find_root(x, e);

	if (r < 0)
		return r;
	if (gethostname(host, sizeof(host) - 1) < 0 || !*host)
		snprintf(host, sizeof(host), "cairn");
	snprintf(name, sizeof(name), "%s-1", host);
	r = keys_generate(x->family, conf_dir(x, x->family), x->key_name ? x->key_name : name, e);
	if (r < 0)
		return r;
	printf("%s/signing-key.pub\n", conf_dir(x, x->family));
	return store_finish_output(e);
}

static int authorize_key(struct ctx *x, struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r = find_root(x, e);

	if (r == 0)
		r = fd_read_all(STDIN_FILENO, &text, LIMIT_KEY_FILE);
	if (r < 0)
		return err_num(e, r, "cannot read the key from standard input");
	return trust_authorize(str_slice(&text), conf_dir, x, e);
}

/* ---- Bundles --------------------------------------------------------------------------------- */

struct order {
	struct store_conn *c;
	struct arena *a;
	struct tab seen;
	struct vec todo;	 /* a stack; see add_ordered() */
	const struct tab *among; /* NULL: all that is referred to */
	struct vec *ret;
};

/* What path refers to of what is exported, on the stack. */
static int push_refs(struct order *o, const char *path, struct err *e)
{
	struct store_info *info;
	int r = store_info(o->c, o->a, path, &info, e);

	for (size_t i = r < 0 ? 0 : info->nrefs; i-- > 0;)
		if (!o->among || tab_has(o->among, slice_of(info->refs[i])))
			vec_add(&o->todo, (void *)(uintptr_t)info->refs[i]);
	return r;
}

/* path, after what it refers to of what is exported. The stack has paths to be looked at, and of
 * those that were, the path with NULL above it: when that comes up all that the path refers to is
 * out. */
static int add_ordered(struct order *o, char *path, struct err *e)
{
	int r = 0;

	vec_add(&o->todo, path);
	while (r == 0 && o->todo.n) {
		bool new = false;

		path = o->todo.v[--o->todo.n];
		if (!path) {
			vec_add(o->ret, o->todo.v[--o->todo.n]);
			continue;
		}
		if (!tab_put(&o->seen, slice_of(path), &new))
			return err_set(e, -ENOMEM, "out of memory");
		if (!new)
			continue;
		vec_add(&o->todo, path);
		vec_add(&o->todo, NULL);
		r = push_refs(o, path, e);
		if (o->todo.err || o->ret->err)
			return err_set(e, -ENOMEM, "out of memory");
	}
	return r;
}

static int order_paths(struct store_conn *c, struct arena *a, const struct vec *paths,
		       bool recursive, struct vec *ret, struct err *e)
{
	auto_tab struct tab among = TAB_INIT;
	struct order o = { .c = c,
			   .a = a,
			   .seen = TAB_INIT,
			   .todo = VEC_INIT,
			   .among = recursive ? NULL : &among,
			   .ret = ret };
	int r = 0;

	for (size_t i = 0; i < paths->n; i++)
		(void)tab_put(&among, slice_of(paths->v[i]), NULL);
	for (size_t i = 0; r == 0 && i < paths->n; i++)
		r = add_ordered(&o, paths->v[i], e);
	tab_done(&o.seen);
	vec_done(&o.todo);
	return r;
}

static int put_number(uint64_t n, struct err *e)
{
	auto_str struct str text = STR_INIT;
	int r;

	wr_u64(&text, n);
	r = fd_write_full(STDOUT_FILENO, text.buf, text.len);
	return r < 0 ? err_num(e, r, "write standard output") : 0;
}

static int export_one(struct store_conn *c, const char *path, struct err *e)
{
	static char buf[32 << 10];
	size_t n = 1;
	int r = put_number(1, e);

	if (r == 0)
		r = client_export_begin(c, path, true, e);
	while (r == 0 && n) {
		r = client_export_read(c, buf, sizeof(buf), &n, e);
		if (r == 0)
			r = fd_write_full(STDOUT_FILENO, buf, n);
		if (r < 0 && !e->code)
			err_num(e, r, "write standard output");
	}
	return r;
}

static int export_paths(struct ctx *x, struct cmd_env *env, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT, ordered = VEC_INIT;
	struct store_conn *c = NULL;
	int r;

	if (isatty(STDOUT_FILENO))
		return cmd_usage(e, "bundles are not for terminals: direct the output to a file");
	r = store_open(&x->store, &c, e);
	if (r == 0)
		r = store_operands(c, &a, env->args, env->nargs, &paths, e);
	if (r == 0)
		r = order_paths(c, &a, &paths, x->recursive, &ordered, e);
	for (size_t i = 0; r == 0 && i < ordered.n; i++)
		r = export_one(c, ordered.v[i], e);
	store_close(c);
	return r == 0 ? put_number(0, e) : r;
}

/* client_feed_fn */
static int feed(void *arg, void *p, size_t n, size_t *ret, struct err *e)
{
	ssize_t got = fd_read_some(STDIN_FILENO, p, n);

	(void)arg;
	if (got < 0)
		return err_num(e, (int)got, "cannot read the bundle");
	if (got == 0) /* it has an end of its own, after which nobody asks for more */
		return err_set(e, -ERR_SYNTAX, "the bundle on standard input ends early");
	*ret = (size_t)got;
	return 0;
}

static int import_bundle(struct ctx *x, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec paths = VEC_INIT;
	struct store_conn *c = NULL;
	int r = store_open(&x->store, &c, e);

	if (r == 0)
		r = client_import(c, &a, feed, NULL, &paths, e);
	for (size_t i = 0; r == 0 && i < paths.n; i++)
		store_print_path(c, paths.v[i], false);
	store_close(c);
	return r == 0 ? store_finish_output(e) : r;
}

static int print_missing(struct ctx *x, struct err *e)
{
	auto_str struct str text = STR_INIT;
	struct store_conn *c = NULL;
	struct slice rest, line;
	int r = fd_read_all(STDIN_FILENO, &text, LIMIT_PATHS);

	if (r < 0)
		return err_num(e, r, "cannot read paths from standard input");
	r = store_open(&x->store, &c, e);
	rest = str_slice(&text);
	while (r == 0 && slice_cut(&rest, '\n', &line)) {
		auto_arena struct arena a = ARENA_INIT;
		char *path = arena_slice(&a, slice_trim(line));
		bool valid = true;

		r = path ? 0 : err_set(e, -ENOMEM, "out of memory");
		if (r == 0 && *path)
			r = store_is_valid(c, path, &valid, e);
		if (r == 0 && !valid)
			store_print_path(c, path, false);
	}
	store_close(c);
	return r == 0 ? store_finish_output(e) : r;
}

/* ---- Single archives -------------------------------------------------------------------------
 */

/* As lines: type (D directory, r file, x program, S link), name, and size or target. */
static void print_entry(const struct nar_entry *n)
{
	static const char letters[] = {
		[NAR_DIRECTORY] = 'D', [NAR_FILE] = 'r', [NAR_PROGRAM] = 'x', [NAR_LINK] = 'S'
	};
	auto_str struct str s = STR_INIT;

	str_addf(&s, "%c ", letters[n->type]);
	text_safe(&s, slice_of(*n->path ? n->path : "/"));
	if (n->type == NAR_LINK) {
		str_add(&s, " -> ");
		text_safe(&s, slice_of(n->target));
	} else if (n->type != NAR_DIRECTORY) {
		str_addf(&s, "  %llu B", (unsigned long long)n->size);
	}
	puts(s.buf);
}

static void print_entry_json(const struct nar_entry *n, bool first)
{
	static const char *const types[] = { [NAR_DIRECTORY] = "directory",
					     [NAR_FILE] = "regular",
					     [NAR_PROGRAM] = "executable",
					     [NAR_LINK] = "symlink" };
	auto_str struct str s = STR_INIT;

	str_add(&s, first ? "\n  {\"path\":" : ",\n  {\"path\":");
	text_json(&s, slice_of(*n->path ? n->path : "/"));
	str_addf(&s, ",\"type\":\"%s\"", types[n->type]);
	if (n->type == NAR_LINK) {
		str_add(&s, ",\"target\":");
		text_json(&s, slice_of(n->target));
	} else if (n->type != NAR_DIRECTORY) {
		str_addf(&s, ",\"size\":%llu", (unsigned long long)n->size);
	}
	str_add(&s, "}");
	fputs(s.buf, stdout);
}

struct listing {
	bool json, any;
};

/* nar_entry_fn */
static int list_entry(void *arg, const struct nar_entry *n, struct err *e)
{
	struct listing *l = arg;

	if (l->json)
		print_entry_json(n, !l->any);
	else
		print_entry(n);
	l->any = true;
	return ferror(stdout) ? err_sys(e, "write standard output") : 0;
}

static int list_archive(struct ctx *x, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct nar_source *in = nar_source_fd(&a, STDIN_FILENO);
	struct listing l = { .json = x->json };
	int r;

	if (!in)
		return err_num(e, -ENOMEM, "archive");
	if (x->json)
		fputs("[", stdout);
	r = nar_list(in, list_entry, &l, e);
	if (r == 0)
		r = store_archive_end(in, e);
	if (r == 0 && x->json)
		fputs("\n]\n", stdout);
	return r == 0 ? store_finish_output(e) : r;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int run(struct cmd_env *env, struct err *e)
{
	struct ctx *x = env->ctx;

	if (x->dialect && dialect_parse(slice_of(x->dialect), &x->family))
		return cmd_usage(e, "--dialect must be guix or nix, not '%s'", x->dialect);
	if (x->generate + x->authorize + x->export + x->import + x->list + x->missing +
		    (x->extract != NULL) !=
	    1)
		return cmd_usage(e, "one of --authorize, --export, --extract, --generate-key, "
				    "--import, --list and --missing is needed");
	if (x->export ? !env->nargs : env->nargs != 0)
		return cmd_usage(e, "store paths go with --export, and it with them");
	if (x->recursive && !x->export)
		return cmd_usage(e, "--recursive goes with --export");
	if (x->json && !x->list)
		return cmd_usage(e, "--json goes with --list");
	if ((x->dialect || x->key_name) && !x->generate)
		return cmd_usage(e, "--dialect and --key-name go with --generate-key");
	return x->generate    ? generate_key(x, e)
	       : x->authorize ? authorize_key(x, e)
	       : x->export    ? export_paths(x, env, e)
	       : x->import    ? import_bundle(x, e)
	       : x->extract   ? store_restore(x->extract, e)
	       : x->list      ? list_archive(x, e)
			      : print_missing(x, e);
}

const struct cmd store_cmd_archive = {
	.name = "archive",
	.synopsis = "[PATH...]",
	.summary = "exchange signed items with other stores, and keys",
	.examples = "cairn archive --export -r $(cairn build zlib) >zlib.nar    zlib and all it "
		    "needs, signed\n"
		    "cairn archive --import <zlib.nar                           at the other "
		    "machine, which trusts the key\n"
		    "cairn archive --authorize <signing-key.pub                 trust what that "
		    "key signed",
	.help = "A bundle is what Guix's archives are: items, each signed with the key of the "
		"store it\n"
		"comes from. Only what is signed by an authorized key is imported.\n"
		"--list and --extract read a single archive, decompressed, as caches serve it and "
		"\"cairn\n"
		"store dump\" writes it; nothing is signed there.\n"
		"Keys are in /etc/guix and /etc/nix, below a private root in DIR/etc/guix and so "
		"on.\n"
		"--generate-key prints the file of the public key, which others give to "
		"--authorize:\n"
		"from then on they believe what it signed.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.max_args = SIZE_MAX,
	.run = run,
};
