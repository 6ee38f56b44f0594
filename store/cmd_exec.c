/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cairn exec: a command that sees the private store where derivations say it is.
 *
 * In a mount namespace (and a user namespace, for ordinary users) the store's directory is mounted
 * at its logical path. When the host has no directory there, the command gets a new root directory
 * on a tmpfs that mirrors the host's, with just the missing directories added.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/text.h"
#include "store/cmd_store.h"
#include "store/kernel.h"
#include "store/format/nar.h"

#define EXIT_NOT_FOUND 127
#define EXIT_NOT_RUN   126

struct ctx {
	struct store_opts store;
	struct vec items;
	bool pure;
};

static const struct cmd_opt options[] = {
	STORE_OPTIONS_BASIC(struct ctx, store),
	{ "pure", 0, CMD_FLAG, offsetof(struct ctx, pure), NULL,
	  "empty the environment but for HOME, USER, LOGNAME, TERM, TZ" },
	{ "with", 'w', CMD_LIST, offsetof(struct ctx, items), "PATH",
	  "put the bin directory of a store item in front of PATH" },
};

/* ---- Environment ------------------------------------------------------------------------------
 */

static int keep_little(struct arena *a, struct err *e)
{
	static const char *const names[] = { "HOME", "USER", "LOGNAME", "TERM", "TZ" };
	const char *values[sizeof(names) / sizeof(names[0])];
	const size_t n = sizeof(names) / sizeof(names[0]);

	for (size_t i = 0; i < n; i++)
		values[i] = getenv(names[i]) ? arena_str(a, getenv(names[i])) : NULL;
	if (arena_err(a) < 0)
		return err_num(e, -ENOMEM, "environment");
	if (clearenv() < 0)
		return err_num(e, -ENOMEM, "environment");
	for (size_t i = 0; i < n; i++)
		if (values[i] && setenv(names[i], values[i], 1) < 0)
			return err_sys(e, "environment");
	return 0;
}

static int set_path(struct store_conn *c, const struct ctx *x, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str path = STR_INIT;
	const char *old = getenv("PATH");
	int r = 0;

	for (size_t i = 0; r == 0 && i < x->items.n; i++) {
		char *item;

		r = store_operand(c, &a, x->items.v[i], true, &item, e);
		if (r == 0)
			str_addf(&path, "%s%s/bin:%s/sbin", path.len ? ":" : "", item, item);
	}
	if (r < 0 || !x->items.n)
		return r;
	if (old && *old)
		str_addf(&path, ":%s", old);
	if (str_err(&path) < 0 || setenv("PATH", path.buf, 1) < 0)
		return err_num(e, -ENOMEM, "environment");
	return 0;
}

/* ---- Mounts -----------------------------------------------------------------------------------
 */

static int tree_open(int dirfd, const char *path)
{
	return kernel_open_tree(dirfd, path, AT_SYMLINK_NOFOLLOW | KERNEL_AT_RECURSIVE);
}

/* One thing to appear in the new root. */
struct piece {
	char *path; /* absolute */
	char *link; /* target of a symbolic link, or NULL */
	int tree;   /* detached mount; -1: make a directory or a link */
	bool dir;
};

struct mirror {
	struct arena a;
	struct vec pieces;
	struct err *e;
};

static void mirror_done(struct mirror *m)
{
	for (size_t i = 0; i < m->pieces.n; i++)
		fd_close(&((struct piece *)m->pieces.v[i])->tree);
	vec_done(&m->pieces);
	arena_done(&m->a);
}

static struct piece *piece_new(struct mirror *m, const char *dir, const char *name)
{
	struct piece *p = ARENA_NEW(&m->a, struct piece);

	if (!p)
		return NULL;
	p->tree = -1;
	p->path = arena_fmt(&m->a, "%s/%s", strcmp(dir, "/") ? dir : "", name);
	vec_add(&m->pieces, p);
	return p->path && m->pieces.err == 0 ? p : NULL;
}

/* One entry of a directory of the host. What cannot be taken along is left out. */
static int mirror_entry(struct mirror *m, int fd, const char *dir, const char *name)
{
	auto_str struct str target = STR_INIT;
	struct stat st;
	struct piece *p;
	int tree = -1;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISLNK(st.st_mode)) {
		if (file_readlink(fd, name, &target, NULL) < 0)
			return 0;
	} else {
		tree = tree_open(fd, name);
		if (tree < 0)
			return 0;
	}
	p = piece_new(m, dir, name);
	if (!p) {
		fd_close(&tree);
		return err_num(m->e, -ENOMEM, "new root");
	}
	p->tree = tree;
	p->dir = S_ISDIR(st.st_mode);
	if (tree < 0)
		p->link = arena_str(&m->a, target.buf);
	return 0;
}

/* Mirror the host's dir but for the entry next, which is about to be made. */
static int mirror_dir(struct mirror *m, const char *dir, struct slice next)
{
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_vec struct vec names = VEC_INIT;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(m->e, "open %s", dir);
	r = nar_list_dir(&m->a, fd, &names);
	if (r < 0)
		return err_num(m->e, r, "list %s", dir);
	for (size_t i = 0; r == 0 && i < names.n; i++)
		if (!slice_is(next, names.v[i]))
			r = mirror_entry(m, fd, dir, names.v[i]);
	return r;
}

/* Everything for a root directory in which logical exists, with store mounted at it. */
static int mirror_host(struct mirror *m, const char *logical, int *store_tree)
{
	struct slice rest = slice_of(logical), part;
	const char *dir = "/";
	struct piece *p = NULL;
	int r = 0;

	while (r == 0 && slice_cut(&rest, '/', &part)) {
		if (!part.n)
			continue;
		r = mirror_dir(m, dir, part);
		if (r < 0)
			return r;
		p = piece_new(m, dir, arena_slice(&m->a, part));
		if (!p)
			return err_num(m->e, -ENOMEM, "new root");
		p->dir = true;
		dir = p->path;
	}
	if (p)
		p->tree = fd_take(store_tree);
	return r;
}

static int make_piece(const struct piece *p, const char *root, struct err *e)
{
	char at[PATH_MAX];
	auto_fd int fd = -1;

	if (path_join(at, root, p->path + 1) < 0)
		return err_num(e, -ENAMETOOLONG, "%s", p->path);
	if (p->link)
		return symlink(p->link, at) < 0 ? err_sys(e, "make the link %s", p->path) : 0;
	if (p->dir) {
		if (mkdir(at, 0755) < 0)
			return err_sys(e, "make the directory %s", p->path);
	} else {
		fd = open(at, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return err_sys(e, "make %s", p->path);
	}
	if (p->tree >= 0 && kernel_place_tree(p->tree, at) < 0)
		return err_sys(e, "mount %s", p->path);
	return 0;
}

/* The new root is mounted over some directory that surely exists; all trees were taken before. */
static int enter_mirror(const struct mirror *m, const char *over, struct err *e)
{
	int r = 0;

	if (mount("tmpfs", over, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
		return err_sys(e, "mount a tmpfs");
	for (size_t i = 0; r == 0 && i < m->pieces.n; i++)
		r = make_piece(m->pieces.v[i], over, e);
	if (r < 0)
		return r;
	if (chdir(over) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(e, "enter the new root");
	return 0;
}

/* ---- Namespaces -------------------------------------------------------------------------------
 */

static int write_map(const char *file, unsigned id, struct err *e)
{
	auto_fd int fd = open(file, O_WRONLY | O_CLOEXEC);
	char text[64];
	int n = snprintf(text, sizeof(text), "%u %u 1", id, id), r;

	if (fd < 0)
		return err_sys(e, "open %s", file);
	r = fd_write_full(fd, text, (size_t)n);
	return r < 0 ? err_num(e, r, "write %s", file) : 0;
}

static int new_namespaces(struct err *e)
{
	unsigned uid = geteuid(), gid = getegid();
	auto_fd int fd = -1;
	int r;

	if (unshare(CLONE_NEWNS) == 0)
		goto private;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		r = err_set(e, -ERR_SANDBOX, "make a user and mount namespace: %s",
			    strerror(errno));
		return err_hint(e, r,
				"see the sysctls user.max_user_namespaces and "
				"kernel.unprivileged_userns_clone, and AppArmor's "
				"kernel.apparmor_restrict_unprivileged_userns");
	}
	fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && fd_write_full(fd, "deny", 4) < 0)
		return err_set(e, -ERR_SANDBOX, "write /proc/self/setgroups");
	r = write_map("/proc/self/uid_map", uid, e);
	if (r == 0)
		r = write_map("/proc/self/gid_map", gid, e);
	if (r < 0)
		return r;

      private:
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, "make the mounts private");
	return 0;
}

static int show_store(const char *logical, const char *physical, const char *over, struct err *e)
{
	struct mirror m = { .a = ARENA_INIT, .pieces = VEC_INIT, .e = e };
	auto_fd int tree = -1;
	struct stat st;
	int r = new_namespaces(e);

	if (r < 0)
		return r;
	tree = tree_open(AT_FDCWD, physical);
	if (tree < 0)
		return err_sys(e, "open the store %s", physical);
	if (lstat(logical, &st) == 0 && S_ISDIR(st.st_mode))
		return kernel_place_tree(tree, logical) < 0
			       ? err_sys(e, "mount the store at %s", logical)
			       : 0;
	r = mirror_host(&m, logical, &tree);
	if (r == 0)
		r = enter_mirror(&m, over, e);
	mirror_done(&m);
	return r;
}

/* ---- The command ------------------------------------------------------------------------------
 */

static int run(struct cmd_env *env, struct err *e)
{
	const struct ctx *x = env->ctx;
	struct store_conn *c = NULL;
	auto_arena struct arena a = ARENA_INIT;
	char cwd[PATH_MAX];
	char *logical = NULL, *physical = NULL, *over = NULL;
	bool private = false;
	int r = store_open(&x->store, &c, e);

	if (r == 0 && x->pure)
		r = keep_little(&a, e);
	if (r == 0)
		r = set_path(c, x, e);
	if (r == 0) {
		private = *store_conn_root(c);
		logical = arena_str(&a, store_conn_dir(c));
		physical = store_conn_physical(c, &a, store_conn_dir(c));
		over = store_conn_physical(c, &a, store_conn_state(c));
		if (!logical || !physical || !over)
			r = err_num(e, -ENOMEM, "exec");
	}
	store_close(c); /* an embedded daemon ends before the namespace is made */
	if (r < 0)
		return r;
	if (!getcwd(cwd, sizeof(cwd)))
		cwd[0] = 0;
	if (private)
		r = show_store(logical, physical, over, e);
	if (r < 0)
		return r;
	if (*cwd && chdir(cwd) < 0 && chdir("/") < 0)
		return err_sys(e, "change to %s", cwd);
	execvp(env->args[0], env->args);
	r = errno;
	fprintf(stderr, "%s: %s: %s\n", env->prog, env->args[0], strerror(r));
	return cmd_exit_with(r == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
}

const struct cmd store_cmd_exec = {
	.name = "exec",
	.synopsis = "[--] COMMAND [ARG...]",
	.summary = "run a command that sees the private store at its logical place",
	.examples = "cairn exec --with $(cairn build curl) curl --version",
	.help = "The exit status is the command's; 127 when it is not found, 126 when it cannot be "
		"run.",
	CMD_OPTS(options),
	.context_size = sizeof(struct ctx),
	.min_args = 1,
	.max_args = SIZE_MAX,
	.run = run,
	.raw_options = true,
};
