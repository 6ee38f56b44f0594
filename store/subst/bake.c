/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/subst/bake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "store/kernel.h"
#include "store/limits.h"
#include "store/format/nar.h"

#define NARINFOS    "narinfo"
#define LAST_CLEAN  "last-clean"
#define DAY	    (24 * 3600)
#define KEEP_UNUSED (30 * DAY) /* seconds, where no ttl is given */
#define WAITING_MAX 32	       /* processes that wait for a worker's place: anybody can ask */

/* ---- What is kept ---------------------------------------------------------------------------- */

static int open_kept(const struct publish *p, const char *dir, const char *name, const char *suffix,
		     int *ret)
{
	char file[PATH_MAX];
	int n = snprintf(file, sizeof(file), "%s/%s/%s%s", p->cache, dir, name, suffix), fd;

	if (n < 0 || (size_t)n >= sizeof(file))
		return -ENAMETOOLONG;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

int bake_open_narinfo(const struct publish *p, const char *hash_part, int *ret)
{
	return open_kept(p, NARINFOS, hash_part, "", ret);
}

int bake_open_nar(const struct publish *p, enum zip kind, const char *base, int *ret)
{
	return open_kept(p, zip_name(kind), base, ".nar", ret);
}

/* ---- Making it ------------------------------------------------------------------------------- */

struct baker {
	const struct publish *p;
	struct arena a;
	struct store_conn *store; /* owned */
	int dirfd;		  /* owned: the cache */
};

/* A sink to a file that counts and hashes. */
struct counter {
	struct nar_sink sink;
	int fd;
	struct hasher *h;
	uint64_t size;
};

static int counter_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	struct counter *c = CONTAINER_OF(sink, struct counter, sink);
	int r = fd_write_full(c->fd, p, n);

	hasher_add(c->h, p, n);
	c->size += n;
	return r < 0 ? err_num(e, r, "cannot write to the cache") : 0;
}

static unsigned level_of(const struct publish *p, enum zip kind)
{
	for (size_t i = 0; i < p->nkinds; i++)
		if (p->kinds[i].kind == kind)
			return p->kinds[i].level;
	return 0;
}

static int write_archive(struct baker *b, const char *path, enum zip kind, struct counter *c,
			 struct err *e)
{
	char *file = store_conn_physical(b->store, &b->a, path);
	struct zipper *z = NULL;
	int r = file ? zip_open(&c->sink, kind, level_of(b->p, kind), &z, e)
		     : err_set(e, -ENOMEM, "out of memory");

	if (r == 0)
		r = nar_dump(AT_FDCWD, file, NULL, NULL, zip_sink(z), e);
	if (r < 0)
		zip_free(z);
	return r < 0 ? r : zip_close(z, e);
}

/* CACHE/KIND/ITEM.nar; its size and hash go to f. */
static int bake_archive(struct baker *b, const char *path, struct narinfo_file *f, struct err *e)
{
	const char *base = path_base(path), *dir = zip_name(f->kind);
	char *temp = arena_fmt(&b->a, "%s/.%s.tmp", dir, base);
	char *name = arena_fmt(&b->a, "%s/%s.nar", dir, base);
	char hash[DIGEST_TEXT_MAX];
	struct counter c = { .sink = { counter_write } };
	int r = temp && name ? file_mkdir_p(b->dirfd, dir, 0755, e) : -ENOMEM;

	if (r < 0)
		return r;
	auto_fd int fd =
		openat(b->dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "cannot create %s", temp);
	c.fd = fd;
	r = hasher_new(DIGEST_SHA256, &c.h);
	if (r < 0)
		return err_num(e, r, "hash");
	r = write_archive(b, path, f->kind, &c, e);
	struct digest d = hasher_end(c.h);
	if (r == 0 && (fsync(fd) < 0 || renameat(b->dirfd, temp, b->dirfd, name) < 0))
		r = err_sys(e, "cannot finish %s", name);
	if (r == 0) /* before the narinfo, which states its size, is */
		r = file_sync(b->dirfd, dir, e);
	if (r < 0)
		(void)unlinkat(b->dirfd, temp, 0); /* the first error counts */
	digest_base32(&d, hash);
	f->size = c.size;
	if (b->p->dialect == DIALECT_NIX)
		f->sha256 = arena_fmt(&b->a, "sha256:%s", hash);
	return r;
}

static int bake_item(struct baker *b, const char *path, struct err *e)
{
	struct narinfo_file files[PUBLISH_KINDS_MAX];
	auto_str struct str text = STR_INIT;
	struct store_info *info;
	size_t n = publish_list_files(b->p, &b->a, path, files);
	int r = store_add_temp_root(b->store, path, e);

	if (r == 0)
		r = store_info(b->store, &b->a, path, &info, e);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = bake_archive(b, path, &files[i], e);
	if (r == 0)
		r = narinfo_format(info, b->p->dialect, b->p->store.store_dir, files, n,
				   b->p->signer, &text, e);
	if (r == 0)
		r = file_mkdir_p(b->dirfd, NARINFOS, 0755, e);
	if (r < 0)
		return r;
	char *name = arena_fmt(&b->a, NARINFOS "/%.32s", path_base(path));
	return name ? file_write_atomic(b->dirfd, name, text.buf, text.len, 0644, e) : -ENOMEM;
}

/* ---- Cleaning -------------------------------------------------------------------------------- */

/* The item that a kept narinfo is about; in arena. */
static char *kept_path(struct baker *b, int dirfd, const char *name)
{
	auto_str struct str text = STR_INIT;
	struct narinfo *n;

	if (file_read(dirfd, name, &text, LIMIT_NARINFO, NULL) ||
	    narinfo_parse(&b->a, b->p->dialect, b->p->store.store_dir, str_slice(&text), &n, NULL))
		return NULL;
	return arena_str(&b->a, n->info.path);
}

static bool is_unused(const struct publish *p, int dirfd, const char *name)
{
	int64_t keep = p->has_ttl ? (int64_t)p->ttl : KEEP_UNUSED;
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       MAX_OF(st.st_atime, st.st_mtime) + keep < time(NULL);
}

static void clean_one(struct baker *b, int dirfd, const char *name)
{
	char *path = is_unused(b->p, dirfd, name) ? kept_path(b, dirfd, name) : NULL;
	bool valid = true;

	if (!path || store_is_valid(b->store, path, &valid, NULL) || valid)
		return;
	(void)unlinkat(dirfd, name, 0); /* what is left is found again tomorrow */
	for (unsigned kind = 0; kind < ZIP_MAX; kind++) {
		char *nar =
			arena_fmt(&b->a, "%s/%s.nar", zip_name((enum zip)kind), path_base(path));

		if (nar)
			(void)unlinkat(b->dirfd, nar, 0);
	}
}

static void clean(struct baker *b)
{
	struct stat st;
	auto_fd int dirfd = openat(b->dirfd, NARINFOS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_vec struct vec names = VEC_INIT;

	if (dirfd < 0 ||
	    (fstatat(b->dirfd, LAST_CLEAN, &st, 0) == 0 && st.st_mtime + DAY > time(NULL) &&
	     st.st_mtime <= time(NULL)) ||
	    file_write_atomic(b->dirfd, LAST_CLEAN, "", 0, 0644, NULL) < 0)
		return;
	if (nar_list_dir(&b->a, dirfd, &names) < 0)
		return;
	for (size_t i = 0; i < names.n; i++)
		clean_one(b, dirfd, names.v[i]);
}

/* ---- The process ----------------------------------------------------------------------------- */

/* A lock file in the cache; -1 when another has it. */
static int take_lock(struct baker *b, const char *name, bool wait)
{
	auto_fd int fd = openat(b->dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fd_lock(fd, true, wait) < 0)
		return -1;
	/* whoever had it may have removed the name meanwhile, which is free for a third */
	return fstat(fd, &st) == 0 && st.st_nlink ? fd_take(&fd) : -1;
}

/* The lock file "PREFIXi" of some i below n that nobody has; -1 when all are taken. */
static int take_free(struct baker *b, const char *prefix, uint64_t n)
{
	char name[32];
	int fd = -1;

	for (uint64_t i = 0; fd < 0 && i < n; i++) {
		snprintf(name, sizeof(name), "%s%llu", prefix, (unsigned long long)i);
		fd = take_lock(b, name, false);
	}
	return fd;
}

/* One of the workers' places; waits for some one when none is free, unless many do. */
static int take_place(struct baker *b)
{
	int fd = take_free(b, ".worker-", b->p->workers);
	char name[32];

	if (fd >= 0)
		return fd;
	auto_fd int waiting = take_free(b, ".waiting-", WAITING_MAX);
	if (waiting < 0)
		return -1;
	snprintf(name, sizeof(name), ".worker-%llu",
		 (unsigned long long)((uint64_t)getpid() % b->p->workers));
	return take_lock(b, name, true);
}

static void bake(struct baker *b, const char *path)
{
	struct err e = ERR_INIT;
	char lock[64];

	snprintf(lock, sizeof(lock), ".baking-%.32s", path_base(path));
	auto_fd int own = take_lock(b, lock, false);
	if (own < 0) /* it is being made */
		return;
	auto_fd int place = take_place(b);
	auto_fd int kept = -1;
	char part[STORE_HASH_CHARS + 1];
	snprintf(part, sizeof(part), "%.32s", path_base(path));
	if (place >= 0 && bake_open_narinfo(b->p, part, &kept) < 0 &&
	    store_open(&b->p->store, &b->store, &e) == 0) {
		(void)bake_item(b, path, &e); /* asked for again, it is tried again */
		clean(b);
	}
	store_close(b->store);
	(void)unlinkat(b->dirfd, lock, 0); /* still ours */
}

void bake_start(const struct publish *p, const char *path)
{
	struct baker b = { .p = p, .a = ARENA_INIT, .dirfd = -1 };
	pid_t pid = fork();

	if (pid > 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return;
	}
	if (pid < 0) /* asked for again, it is tried again */
		return;
	if (fork() != 0)
		_exit(0);
	/* the connection, and that to the store, are not to wait for us */
	syscall(SYS_close_range, 3U, ~0U, 0U);
	setsid();
	b.dirfd = open(p->cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b.dirfd >= 0)
		bake(&b, path);
	_exit(0);
}
