/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/gitfetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/format/nar.h"
#include "store/format/scheme.h"

#define COMMIT_MAX 250
#define DEPTH_MAX  64
#define ENV_MAX	   24

/* ---- Reading the derivation ------------------------------------------------------------------ */

static bool url_allowed(const char *url)
{
	static const char *const ok[] = { "http://", "https://", "git://" };
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ')
			return false;
	for (size_t i = 0; i < ARRAY_LEN(ok); i++)
		if (strncmp(url, ok[i], strlen(ok[i])) == 0)
			return true;
	return false;
}

/* A hash, or the name of a tag. */
static bool commit_allowed(struct slice s)
{
	if (!s.n || s.n > COMMIT_MAX || *s.p == '-' || *s.p == '.')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/+-",
			    s.p[i]))
			return false;
	return true;
}

int gitfetch_read(struct arena *a, const struct drv *d, struct gitfetch *ret, struct err *e)
{
	bool found;
	auto_vec struct vec urls = VEC_INIT;
	struct slice url = drv_env(d, "url", &found), commit;
	int r = found ? scheme_strings(a, url, &urls, e) : -ERR_BUILD;
	if (!found)
		return err_set(e, r, "derivation `%s' has no `url'", d->name);
	if (r)
		return err_wrap(e, r, "`url' of derivation `%s'", d->name);
	ret->url = urls.v[0];
	if (!url_allowed(ret->url))
		return err_set(e, -ERR_BUILD, "URL `%s' has a scheme that is not allowed",
			       ret->url);
	commit = drv_env(d, "commit", &found);
	if (!found || !commit_allowed(commit))
		return err_set(e, -ERR_BUILD, "derivation `%s' has no proper `commit'", d->name);
	ret->commit = arena_slice(a, commit);
	ret->recursive = slice_is(drv_env(d, "recursive?", &found), "#t");
	return ret->commit ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* The item that holds a program, as ITEM/bin/git. */
static int item_of(const struct gitfetch *g, char ret[PATH_MAX])
{
	char bin[PATH_MAX];
	int r = path_dir(bin, g->program);
	return r ? r : path_dir(ret, bin);
}

void gitfetch_add_paths(const struct gitfetch *g, struct arena *a,
			const char *paths[HELPER_PATHS_MAX])
{
	char item[PATH_MAX];
	if (item_of(g, item) || !item[1])
		return;
	const char *more[] = { arena_str(a, item), NULL };
	helper_add_paths(paths, more);
}

/* ---- The helper ------------------------------------------------------------------------------ */

struct env {
	struct arena *a;
	const char *v[ENV_MAX];
	size_t n;
};

static void set(struct env *x, const char *name, const char *value)
{
	const char *text = value ? arena_fmt(x->a, "%s=%s", name, value) : NULL;
	if (text && x->n < ENV_MAX - 1)
		x->v[x->n++] = text;
}

/* Nothing of the machine's or a user's configuration, nobody to ask for a password. */
static void make_env(const struct gitfetch *g, struct env *x)
{
	static const char *const kept[] = { "http_proxy",  "https_proxy", "all_proxy", "no_proxy",
					    "HTTPS_PROXY", "ALL_PROXY",	  "NO_PROXY" };
	char item[PATH_MAX], core[PATH_MAX];
	const char *certs = getenv("SSL_CERT_FILE");
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		set(x, kept[i], getenv(kept[i]));
	set(x, "GIT_SSL_CAINFO", certs ? certs : "/etc/ssl/certs/ca-certificates.crt");
	set(x, "GIT_ALLOW_PROTOCOL", "http:https:git");
	set(x, "GIT_CONFIG_NOSYSTEM", "1");
	set(x, "GIT_CONFIG_GLOBAL", "/dev/null");
	set(x, "GIT_TERMINAL_PROMPT", "0");
	set(x, "GIT_ASKPASS", "");
	set(x, "HOME", "/nowhere");
	set(x, "PATH", "/usr/bin:/bin");
	if (item_of(g, item) == 0 && path_join(core, item, "libexec/git-core") == 0 &&
	    access(core, F_OK) == 0)
		set(x, "GIT_EXEC_PATH", arena_str(x->a, core));
}

static int git(const struct gitfetch *g, const struct env *x, const char *const *args,
	       struct err *e)
{
	const char *argv[20] = { g->program,
				 "-c",
				 "core.hooksPath=/dev/null",
				 "-c",
				 "advice.detachedHead=false",
				 "-c",
				 "init.defaultBranch=main" };
	for (size_t n = 7; *args && n < ARRAY_LEN(argv) - 1; args++)
		argv[n++] = *args;
	struct proc_spec spec = PROC_SPEC_INIT;
	spec.argv = argv;
	spec.envp = x->v;
	return proc_run(&spec, e);
}

#define GIT(...) git(g, x, (const char *const[]){ __VA_ARGS__, NULL }, e)

static int fetch(const struct gitfetch *g, const struct env *x, struct err *e)
{
	int r = GIT("init", "-q", "--template=", ".");
	if (!r)
		r = GIT("remote", "add", "origin", g->url);
	if (r)
		return r;
	/* Not every server gives a single commit away. */
	struct err one = ERR_INIT;
	struct err *keep = e;
	e = &one;
	r = GIT("fetch", "-q", "--depth=1", "origin", g->commit);
	e = keep;
	if (!r)
		return GIT("checkout", "-q", "FETCH_HEAD");
	r = GIT("fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*");
	return r ? r : GIT("checkout", "-q", g->commit);
}

static int drop_git(int dirfd, unsigned depth, struct err *e);

static int drop_git_in(int dirfd, const char *name, unsigned depth, struct err *e)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "cannot look at %s", name);
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (depth == DEPTH_MAX)
		return err_set(e, -ERR_LIMIT, "directories are nested too deep");
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "cannot open the directory %s", name)
		      : drop_git(fd, depth + 1, e);
}

/* The data of git, of submodules, too: never the same twice. */
static int drop_git(int dirfd, unsigned depth, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	int r = file_delete_tree(dirfd, ".git", NULL, e);
	if (r)
		return r;
	r = nar_list_dir(&a, dirfd, &names);
	if (r)
		return err_num(e, r, "cannot read a directory of the tree");
	for (size_t i = 0; !r && i < names.n; i++)
		r = drop_git_in(dirfd, names.v[i], depth, e);
	return r;
}

int gitfetch_run(const struct gitfetch *g, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT;
	struct env env = { .a = &a }, *x = &env;
	make_env(g, x);
	if (mkdir(g->name, 0755) < 0 || chdir(g->name) < 0)
		return err_sys(e, "cannot make the tree %s", g->name);
	int r = fetch(g, x, e);
	if (!r && g->recursive)
		r = GIT("submodule--helper", "update", "--init", "--recursive");
	if (r)
		return err_wrap(e, r, "cannot fetch %s of %s", g->commit, g->url);
	auto_fd int tree = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return tree < 0 ? err_sys(e, "cannot open the tree %s", g->name) : drop_git(tree, 0, e);
}
