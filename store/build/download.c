/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/build/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/build/fetch.h"
#include "store/build/gitfetch.h"
#include "store/build/helper.h"
#include "store/limits.h"
#include "store/build/localfile.h"
#include "store/format/scheme.h"
#include "store/build/unpack.h"

#define ARCHIVE ".archive"

struct job {
	struct arena a;
	struct fetch f;
	struct digest want;
	bool recursive; /* the hash is of a NAR: only the file system can tell */
	const char *item;
	const char *unpack; /* name of what the file is unpacked to; NULL: it stays what it is */
	struct gitfetch git;
};

/* ---- Reading the derivation ------------------------------------------------------------------ */

static int read_hash(const struct drv *d, struct job *j, struct err *e)
{
	if (d->noutputs != 1 || !d->outputs[0].algo[0])
		return err_set(e, -ERR_BUILD, "a download needs one output with a hash");
	struct slice algo = slice_of(d->outputs[0].algo);
	j->recursive = slice_starts(algo, "r:");
	if (j->recursive) {
		algo.p += 2;
		algo.n -= 2;
	}
	enum digest_algo id;
	if (digest_algo_parse(algo, &id) ||
	    digest_parse(id, slice_of(d->outputs[0].hash), &j->want))
		return err_set(e, -ERR_BUILD, "the hash of `%s' is malformed", d->name);
	return 0;
}

static bool scheme_allowed(const char *url)
{
	static const char *const ok[] = { "http://", "https://", "ftp://", "mirror://" };
	for (size_t i = 0; i < ARRAY_LEN(ok); i++)
		if (strncmp(url, ok[i], strlen(ok[i])) == 0)
			return true;
	return false;
}

/* mirror://NAME/PATH at each of the bases that the table names. The machine's own are not lost: the
 * URL itself comes first. */
static int add_mirrors(struct job *j, const char *table, const char *url, struct vec *ret,
		       struct err *e)
{
	auto_vec struct vec bases = VEC_INIT;
	struct slice rest = slice_of(url), name;
	if (!table || !slice_starts(rest, "mirror://"))
		return 0;
	rest.p += 9;
	rest.n -= 9;
	if (!slice_cut(&rest, '/', &name) || !rest.n)
		return err_set(e, -ERR_BUILD, "malformed mirror URL %s", url);
	int r = scheme_assoc(&j->a, slice_of(table), name, &bases, e);
	for (size_t i = 0; !r && i < bases.n; i++) {
		const char *base = bases.v[i];
		size_t n = strlen(base);
		vec_add(ret, arena_fmt(&j->a, "%s%s%s", base, n && base[n - 1] == '/' ? "" : "/",
				       rest.p));
	}
	return r ? err_wrap(e, r, "the table of mirrors") : 0;
}

static int read_urls(const struct download *d, struct job *j, struct slice url, struct vec *ret,
		     struct err *e)
{
	auto_vec struct vec named = VEC_INIT;
	int r = 0;
	if (d->plain)
		vec_add(&named, arena_slice(&j->a, url));
	else
		r = scheme_strings(&j->a, url, &named, e);
	if (r)
		return err_wrap(e, r, "`url' of derivation `%s'", d->drv->name);
	for (size_t i = 0; !r && i < named.n; i++) {
		vec_add(ret, named.v[i]);
		r = add_mirrors(j, d->mirrors, named.v[i], ret, e);
	}
	return !r && (named.err || ret->err || arena_err(&j->a))
		       ? err_set(e, -ENOMEM, "out of memory")
		       : r;
}

/* A tree: the daemon itself sees whether it has the hash. */
static int read_git_job(const struct download *d, struct job *j, struct err *e)
{
	int r = read_hash(d->drv, j, e);
	if (!r && !j->recursive)
		r = err_set(e, -ERR_BUILD, "builtin:git-download makes a tree, not a file");
	if (!r)
		r = gitfetch_read(&j->a, d->drv, &j->git, e);
	if (!r)
		r = helper_find(d->git, "git", j->git.program, e);
	j->git.name = d->name;
	j->item = d->drv->outputs[0].path;
	return r;
}

static int read_job(const struct download *d, struct job *j, struct err *e)
{
	bool found;
	struct slice url = drv_env(d->drv, "url", &found);
	if (!found)
		return err_set(e, -ERR_BUILD, "derivation `%s' has no `url'", d->drv->name);
	int r = read_hash(d->drv, j, e);
	if (r)
		return r;
	auto_vec struct vec urls = VEC_INIT;
	r = read_urls(d, j, url, &urls, e);
	if (r)
		return r;
	bool unpack = d->plain && slice_is(drv_env(d->drv, "unpack", &found), "1");
	for (size_t i = 0; i < urls.n; i++)
		if (!scheme_allowed(urls.v[i]))
			return err_set(e, -ERR_BUILD, "URL `%s' has a scheme that is not allowed",
				       (char *)urls.v[i]);
	const char **v = arena_dup(&j->a, urls.v, urls.n * sizeof(void *));
	if (!v)
		return err_set(e, -ENOMEM, "out of memory");
	struct slice exec = drv_env(d->drv, "executable", &found);
	j->f = (struct fetch){ .urls = v,
			       .nurls = urls.n,
			       .want = &j->want,
			       .dirfd = d->dirfd,
			       .name = unpack ? ARCHIVE : d->name,
			       .unchecked = unpack,
			       .label = d->drv->name,
			       .nar = j->recursive,
			       .mode = found && slice_is(exec, "1") ? 0755 : 0644 };
	j->item = d->drv->outputs[0].path;
	j->unpack = unpack ? d->name : NULL;
	return 0;
}

/* ---- The child ------------------------------------------------------------------------------- */

static void on_progress(void *arg, const char *url, uint64_t total, uint64_t done)
{
	struct job *j = arg;
	helper_say("@ download-progress %s %s %llu %llu", j->item, url, (unsigned long long)total,
		   (unsigned long long)done);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n >= m && strcmp(text + n - m, end) == 0;
}

static int fetch_file_or_tree(struct job *j, struct err *e)
{
	static const struct rlimit memory = { LIMIT_UNPACK_MEMORY, LIMIT_UNPACK_MEMORY };
	int r = fetch_run(&j->f, e);
	if (r || !j->unpack)
		return r;
	if (setrlimit(RLIMIT_DATA, &memory) < 0)
		return err_sys(e, "cannot limit the memory");
	r = unpack_nar(j->f.dirfd, ARCHIVE, ends_with(j->f.urls[0], ".xz"), j->unpack, e);
	return r ? err_wrap(e, r, "cannot unpack %s", j->f.urls[0]) : 0;
}

static void child_main(void *arg)
{
	struct job *j = arg;
	struct err e = ERR_INIT;
	const char *url = j->git.url ? j->git.url : j->f.urls[0];
	helper_say("@ download-started %s %s -", j->item, url);
	int r = 0;
	if (!j->git.url)
		r = fetch_file_or_tree(j, &e);
	else if (chdir("/work") < 0)
		r = err_sys(&e, "cannot enter /work");
	else
		r = gitfetch_run(&j->git, &e);
	if (r)
		helper_say("%s", e.msg);
	else
		helper_say("@ download-succeeded %s %s -", j->item, url);
	_exit(r ? 1 : 0);
}

/* The directories among the administrator's mirrors. */
static void add_local_mirrors(struct arena *a, const char *paths[HELPER_PATHS_MAX])
{
	for (char **v = environ; *v; v++) {
		struct slice list = slice_of(*v), word;
		if ((!slice_starts(list, "CAIRN_MIRROR_") &&
		     !slice_starts(list, "CAIRN_CONTENT_MIRRORS=")) ||
		    !slice_cut(&list, '=', &word))
			continue;
		while (slice_cut(&list, ' ', &word)) {
			const char *url = arena_slice(a, word);
			const char *path = url ? localfile_path(url) : NULL;
			const char *one[] = { path ? arena_strn(a, path, strcspn(path, "%")) : NULL,
					      NULL };
			helper_add_paths(paths, one);
		}
	}
}

static int start(const struct download *d, struct job *j, struct proc *ret, struct err *e)
{
	const char *paths[HELPER_PATHS_MAX] = { NULL };
	const char *const own[] = { getenv("SSL_CERT_FILE"), NULL };
	auto_str struct str resolv = STR_INIT;
	struct filter_prog filter;
	auto_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_sys(e, "cannot open /dev/null");
	int r = filter_download(&filter, e);
	if (r)
		return r;
	helper_add_paths(paths, helper_system_paths);
	helper_add_paths(paths, helper_network_paths);
	helper_add_paths(paths, own);
	if (d->is_git)
		gitfetch_add_paths(&j->git, &j->a, paths);
	else
		add_local_mirrors(&j->a, paths);
	helper_read_resolv(&resolv);
	const struct helper_file files[] = { { "/etc/resolv.conf", resolv.buf }, { NULL, NULL } };
	int fds[] = { null, d->log, d->log, d->dirfd };
	j->f.dirfd = 3;
	j->f.progress = on_progress;
	j->f.arg = j;
	struct helper h = { .id = d->id,
			    .root = d->root,
			    .paths = paths,
			    .files = files,
			    .dir = d->is_git ? d->dirfd : 0,
			    .fds = fds,
			    .nfds = ARRAY_LEN(fds),
			    .filter = &filter,
			    .run = child_main,
			    .arg = j };
	return helper_start(&h, ret, e);
}

int download_start(const struct download *d, struct proc *ret, struct err *e)
{
	struct job j = { .a = ARENA_INIT };
	int r = d->is_git ? read_git_job(d, &j, e) : read_job(d, &j, e);
	if (!r)
		r = start(d, &j, ret, e);
	arena_done(&j.a);
	return r;
}
