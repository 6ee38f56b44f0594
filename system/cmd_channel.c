/* SPDX-License-Identifier: GPL-3.0-or-later */
/* cairn channel: the maker's side of cairn pull. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/proc.h"
#include "store/store.h"
#include "system/channel.h"
#include "system/eval.h"
#include "system/system.h"

#define LIMIT_COPY	 (256u << 20)
#define LIMIT_COPY_DEPTH 64
#define MODULES_EXPRESSION                                                                         \
	"cairn_modules(require('packages.seed').busybox, require('packages.seed').shell)"

struct ctx {
	struct store_opts store;
	const char *key, *output, *name;
	uint64_t serial;
};

static int print_line(const char *text, struct err *e)
{
	printf("%s\n", text);
	return fflush(stdout) == EOF ? err_sys(e, "standard output") : 0;
}

/* ---- generate-key ---------------------------------------------------------------------------- */

static int run_generate_key(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_str struct str text = STR_INIT;
	auto_arena struct arena a = ARENA_INIT;
	char *pub = arena_fmt(&a, "%s.pub", env->args[0]);
	int r = pub ? store_key_make(env->args[0], c->name ? c->name : path_base(env->args[0]), e)
		    : err_set(e, -ENOMEM, "out of memory");

	if (r == 0)
		r = file_read(AT_FDCWD, pub, &text, 4096, e);
	if (r < 0)
		return r;
	while (text.len && text.buf[text.len - 1] == '\n')
		str_cut(&text, text.len - 1);
	return print_line(text.buf, e);
}

/* ---- A tree without links to other items ----------------------------------------------------- */

static int copy_tree(int from, const char *name, int to, const char *as, unsigned depth,
		     struct err *e);

static int copy_dir(int from, const char *name, int to, const char *as, unsigned depth,
		    struct err *e)
{
	auto_fd int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int out = -1;
	struct dirent *d;
	DIR *dir;
	int r = 0, more = 0;

	if (depth > LIMIT_COPY_DEPTH)
		return err_set(e, -ERR_LIMIT, "%s: nested too deep", name);
	if (in < 0 || mkdirat(to, as, 0755) < 0)
		return err_sys(e, "%s", name);
	out = openat(to, as, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = out < 0 ? NULL : fdopendir(dup(in));
	if (!dir)
		return err_sys(e, "%s", name);
	while (r == 0 && (more = file_next(dir, &d)) > 0)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = copy_tree(in, d->d_name, out, d->d_name, depth + 1, e);
	(void)closedir(dir); /* only read from */
	return r == 0 && more < 0 ? err_num(e, more, "%s", name) : r;
}

/* Links are followed: what leads to another item is part of the tree. */
static int copy_tree(int from, const char *name, int to, const char *as, unsigned depth,
		     struct err *e)
{
	auto_str struct str data = STR_INIT;
	auto_fd int fd = -1;
	struct stat st;
	int r;

	if (fstatat(from, name, &st, 0) < 0)
		return err_sys(e, "%s", name);
	if (S_ISDIR(st.st_mode))
		return copy_dir(from, name, to, as, depth, e);
	r = file_read(from, name, &data, LIMIT_COPY, e);
	if (r < 0)
		return r;
	fd = openat(to, as, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    st.st_mode & S_IXUSR ? 0755 : 0644);
	if (fd < 0)
		return err_sys(e, "%s", as);
	r = fd_write_full(fd, data.buf, data.len);
	return r < 0 ? err_num(e, r, "%s", as) : 0;
}

/* ---- sign ------------------------------------------------------------------------------------ */

static int dump(int dirfd, const char *tree, const char *file, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_fd int fd = openat(dirfd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct nar_sink *out = fd < 0 ? NULL : nar_sink_fd(&a, fd);
	int r;

	if (fd < 0)
		return err_sys(e, "%s", file);
	r = out ? nar_dump(dirfd, tree, NULL, NULL, out, e) : err_set(e, -ENOMEM, "out of memory");
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, "%s", file);
	return r;
}

/* The modules of the tree dir, with what they lead to, as a NAR dir/archive in dirfd. */
static int make_archive(const struct ctx *c, const char *dir, int dirfd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct sys_eval_opts opts = { .modules = dir, .store_dir = c->store.store_dir };
	struct sys_eval_request req = { .kind = SYS_EVAL_EXPR, .text = MODULES_EXPRESSION };
	struct store_conn *conn = NULL;
	struct sys_eval *ev = NULL;
	int r = sys_eval_run(&opts, &req, &ev, e);

	if (r == 0)
		r = store_open(&c->store, &conn, e);
	if (r == 0)
		r = sys_eval_build(ev, conn, NULL, e);
	if (r == 0) {
		char *item = store_conn_physical(conn, &a, sys_eval_at(ev, 0)->value);

		r = item ? copy_tree(AT_FDCWD, item, dirfd, "tree", 0, e)
			 : err_set(e, -ENOMEM, "out of memory");
	}
	store_close(conn);
	sys_eval_free(ev);
	return r < 0 ? r : dump(dirfd, "tree", "archive", e);
}

/* Made beside where it will be, so that a rename gives it its name. */
static int sign_archive(const struct ctx *c, struct arena *a, const char *operand,
			struct channel_sign *s, struct channel *ret, struct err *e)
{
	char *dir = arena_fmt(a, "%s/.sign-XXXXXX", s->dir);
	auto_fd int dirfd = -1;
	struct stat st;
	int r = file_mkdir_p(AT_FDCWD, s->dir, 0755, e);

	if (r < 0)
		return r;
	if (!dir)
		return err_set(e, -ENOMEM, "out of memory");
	if (stat(operand, &st) < 0)
		return err_sys(e, "%s", operand);
	if (!mkdtemp(dir))
		return err_sys(e, "%s", dir);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->archive = arena_fmt(a, "%s/archive", dir);
	if (dirfd < 0)
		r = err_sys(e, "%s", dir);
	else if (!s->archive)
		r = err_set(e, -ENOMEM, "out of memory");
	else if (S_ISDIR(st.st_mode))
		r = make_archive(c, operand, dirfd, e);
	else
		r = copy_tree(AT_FDCWD, operand, dirfd, "archive", 0, e);
	if (r == 0)
		r = channel_sign(a, s, ret, e);
	(void)file_delete_tree(AT_FDCWD, dir, NULL, NULL); /* what is left is in nobody's way */
	return r;
}

/* Who clones the repository gets what is committed, so nothing else may be signed. */
static int check_clean(const char *dir, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str out = STR_INIT;
	const char *argv[] = { "git",	 "-C",		dir,
			       "status", "--porcelain", "--ignored",
			       "--",	 ".",		":(exclude)" CHANNEL_INDEX,
			       NULL };
	struct proc_spec spec = PROC_SPEC_INIT;
	char *git = arena_fmt(&a, "%s/.git", dir);
	int r;

	if (!git)
		return err_set(e, -ENOMEM, "out of memory");
	if (access(git, F_OK) < 0)
		return 0;
	spec.argv = argv;
	r = proc_output(&spec, &out, 1u << 20, e);
	if (r == 0 && out.len)
		r = err_set(e, -ERR_INVALID,
			    "%s has files that are not committed: who clones it would get another "
			    "tree",
			    dir);
	return r;
}

static int run_sign(struct cmd_env *env, struct err *e)
{
	struct ctx *c = env->ctx;
	auto_arena struct arena a = ARENA_INIT;
	struct channel_sign s = { .dir = c->output ? c->output : env->args[0],
				  .key_file = c->key,
				  .name = c->name,
				  .serial = c->serial,
				  .date = (uint64_t)time(NULL),
				  .in_tree = !c->output };
	struct channel made;
	int r;

	if (!c->key)
		return cmd_usage(e, "give the secret key, --key FILE");
	/* Before the tree is packed; and other signatures have keys of another command. */
	if (access(c->key, F_OK) < 0)
		return err_hint(e, err_sys(e, "signing key %s", c->key),
				"make one with 'cairn channel generate-key FILE'");
	r = s.in_tree ? check_clean(s.dir, e) : 0;
	if (r == 0)
		r = s.in_tree ? channel_sign(&a, &s, &made, e)
			      : sign_archive(c, &a, env->args[0], &s, &made, e);
	if (r < 0)
		return r;
	fprintf(stderr, "%s number %llu, signed by %s\n", made.name,
		(unsigned long long)made.serial, made.key);
	return print_line(made.hash, e);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static const struct cmd_opt key_opts[] = {
	{ "name", 0, CMD_STR, offsetof(struct ctx, name), "NAME",
	  "name of the key (that of the file)" },
};

static const struct cmd generate_key = {
	.name = "generate-key",
	.synopsis = "FILE",
	.summary = "make a key that signs channels, and print its public part",
	.examples = "cairn channel generate-key --name example.org-1 secret.key",
	.help = "The secret key is FILE, readable by its owner alone; the public one is FILE.pub.",
	CMD_OPTS(key_opts),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = 1,
	.run = run_generate_key,
};

static const struct cmd_opt sign_opts[] = {
	{ "key", 0, CMD_STR, offsetof(struct ctx, key), "FILE", "the secret key" },
	{ "output", 'o', CMD_STR, offsetof(struct ctx, output), "OUT",
	  "directory that machines pull from; without: DIR is a git repository" },
	{ "name", 0, CMD_STR, offsetof(struct ctx, name), "NAME",
	  "name of the channel (that of before)" },
	{ "serial", 0, CMD_U64, offsetof(struct ctx, serial), "N",
	  "number of the tree (one more than before)" },
	STORE_OPTIONS_BASIC(struct ctx, store),
};

static const struct cmd sign = {
	.name = "sign",
	.synopsis = "DIR|NAR",
	.summary = "sign a tree of modules for 'cairn pull'",
	.examples = "cairn channel sign --key secret.key -o /srv/www/cairn cairn/    an archive "
		    "for a web server\n"
		    "cairn channel sign --key secret.key cairn/                      an index in "
		    "the checkout, to be committed",
	.help = "DIR is a tree such as a checkout of Cairn. With -o OUT what belongs to the\n"
		"modules is put into an archive below OUT, with an index; put OUT on a web "
		"server.\n"
		"Without -o the index becomes a file of DIR, to be committed: machines then pull\n"
		"from the git repository. A NAR is signed as it is. Prints the hash of the tree.",
	CMD_OPTS(sign_opts),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = 1,
	.run = run_sign,
};

static const struct cmd *const subs[] = { &generate_key, &sign, NULL };

const struct cmd sys_cmd_channel = {
	.name = "channel",
	.summary = "make and sign what 'cairn pull' gets",
	.subs = subs,
};
