/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The collector: what it keeps, what it refuses, what it does when things go wrong. */
#include "store/local/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/local/db.h"
#include "store/local/guard.h"
#include "store/local/links.h"
#include "store/local/local-state.h"
#include "store/format/nar.h"
#include "store/local/roots.h"
#include "store/build/workdir.h"
#include "tests/unit/test.h"

/* Stand in front of the C library's. */
static struct {
	const char *undeletable; /* a name that cannot be deleted */
	const char *unreadable;	 /* the end of a link that cannot be read */
	time_t now;		 /* 0: the machine's */
	int link;		 /* 0, or why links cannot be made */
	int lock;		 /* 0, or the collector's lock file, to see who has it */
	unsigned racing;	 /* changes beside which others were possible */
	unsigned changes;	 /* links made */
} world;

/* Counts a change; exclusive: others may be changing things, and no collection be on. */
static void look_at_lock(bool exclusive)
{
	if (world.lock && fd_lock(world.lock, exclusive, false) == 0) {
		world.racing++;
		(void)fd_unlock(world.lock);
	}
}

static void look_at_root(const char *name, bool exclusive)
{
	if (slice_starts(slice_of(name), "gcroots/auto/"))
		look_at_lock(exclusive);
}

int renameat(int fromfd, const char *from, int tofd, const char *to)
{
	look_at_root(to, true);
	return (int)syscall(SYS_renameat2, fromfd, from, tofd, to, 0);
}

int linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	if (world.link) {
		errno = world.link;
		return -1;
	}
	world.changes++;
	look_at_lock(true);
	return (int)syscall(SYS_linkat, fromfd, from, tofd, to, flags);
}

int unlinkat(int fd, const char *name, int flags)
{
	if (world.undeletable && !strcmp(name, world.undeletable)) {
		errno = EPERM;
		return -1;
	}
	look_at_root(name, false);
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}

ssize_t readlinkat(int fd, const char *name, char *buf, size_t n)
{
	if (world.unreadable && slice_ends(slice_of(name), world.unreadable)) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_readlinkat, fd, name, buf, n);
}

time_t time(time_t *ret)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (world.now)
		t.tv_sec = world.now;
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}

struct bench {
	char dir[256];
	int fd;
	struct local *l;
	struct arena a;
	struct err e;
};

static bool open_bench(struct bench *b)
{
	struct local_opts opts = { .root = b->dir, .no_sync = true };

	if (local_open(&opts, &b->l, &b->e) == 0)
		return true;
	TEST_FAIL("%s", b->e.msg);
	return false;
}

static bool begin(struct bench *b)
{
	const char *tmp = getenv("TMP");

	*b = (struct bench){ .fd = -1 };
	snprintf(b->dir, sizeof(b->dir), "%.200s/t_gc.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (mkdtemp(b->dir))
		b->fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return b->fd >= 0 && open_bench(b);
}

/* Without the temporary roots of before. */
static void reopen(struct bench *b)
{
	local_close(b->l);
	b->l = NULL;
	(void)open_bench(b);
}

static void end(struct bench *b)
{
	local_close(b->l);
	fd_close(&b->fd);
	arena_done(&b->a);
	CHECK_INT(file_delete_tree(AT_FDCWD, b->dir, NULL, NULL), 0);
}

static bool exists(struct bench *b, const char *path)
{
	return faccessat(b->fd, *path == '/' ? path + 1 : path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool valid(struct bench *b, const char *path)
{
	bool v = false;

	CHECK_INT(local_is_valid(b->l, path, &v, &b->e), 0);
	return v;
}

static const char *add(struct bench *b, const char *name, struct slice text, const char *ref)
{
	char *path = NULL;

	if (local_add_text(b->l, &b->a, name, text, &ref, ref ? 1 : 0, &path, &b->e) < 0 ||
	    local_flush(b->l, &b->e) < 0)
		TEST_FAIL("%s", b->e.msg);
	return path ? path : "/";
}

/* As begin(), with an item that nothing holds; NULL: there is none. */
static const char *begin_one(struct bench *b)
{
	const char *one = begin(b) ? add(b, "one", slice_of("1"), NULL) : NULL;

	if (one)
		reopen(b);
	return one;
}

static int gc(struct bench *b, struct gc_request req, struct vec *ret)
{
	uint64_t bytes;

	ret->n = 0;
	b->e = (struct err)ERR_INIT;
	return gc_run(b->l, &b->a, &req, ret, &bytes, &b->e);
}

static int collect(struct bench *b, enum store_gc action, struct vec *ret)
{
	return gc(b, (struct gc_request){ .action = action, .max_freed = UINT64_MAX }, ret);
}

/* A row without a file. */
static int add_row(struct bench *b, struct db *db, const char *path, const char *deriver)
{
	struct store_info info = {
		.path = path, .deriver = deriver, .nar_size = 100, .registered = 1
	};

	info.nar_hash = digest_of(DIGEST_SHA256, "", 0);
	return db_insert(db, &info, &b->e);
}

/* Rows without files, each referring to the one before. */
static char *chain(struct bench *b, size_t n)
{
	static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";
	struct db *db = NULL;
	char *last = NULL;
	int r = local_db(b->l, &db, &b->e);

	if (r == 0)
		r = db_begin(db, &b->e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		char hash[33], *path;

		for (size_t k = 0, v = i; k < 32; k++, v /= 32)
			hash[k] = digits[v % 32];
		hash[32] = 0;
		path = arena_fmt(&b->a, "/gnu/store/%s-x", hash);
		r = add_row(b, db, path, "");
		if (r == 0 && last)
			r = db_add_ref(db, path, last, &b->e);
		last = path;
	}
	if (r == 0)
		r = db_commit(db, &b->e);
	if (r < 0)
		TEST_FAIL("%s", b->e.msg);
	return last ? last : arena_str(&b->a, "/");
}

TEST(long_chains_need_no_stack)
{
	const size_t length = SANITIZED ? 20000 : 100000; /* calls are larger there, too */
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	char *last;

	if (!begin(&b))
		return;
	last = chain(&b, length);
	CHECK_INT(symlinkat(last, b.fd, "var/guix/gcroots/last"), 0);
	CHECK_INT(collect(&b, STORE_GC_LIVE, &paths), 0);
	CHECK_INT(paths.n, length);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK_INT(paths.n, 0);
	CHECK_INT(unlinkat(b.fd, "var/guix/gcroots/last", 0), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK_INT(paths.n, length);
	CHECK(!valid(&b, last));
	end(&b);
}

TEST(stops_when_enough_is_freed)
{
	struct bench b;
	struct gc_request req = { .action = STORE_GC_DELETE, .max_freed = 0 };
	auto_vec struct vec paths = VEC_INIT;
	char *last;

	if (!begin(&b))
		return;
	last = chain(&b, 100);
	CHECK_INT(gc(&b, req, &paths), 0);
	CHECK_INT(paths.n, 0);
	req.max_freed = 950;
	CHECK_INT(gc(&b, req, &paths), 0);
	CHECK_INT(paths.n, 10);
	CHECK(!valid(&b, last)); /* what nothing refers to goes first */
	CHECK_INT(collect(&b, STORE_GC_DEAD, &paths), 0);
	CHECK_INT(paths.n, 90);
	end(&b);
}

TEST(derivations_and_outputs)
{
	static const char drv[] = "/gnu/store/00000000000000000000000000000000-a.drv";
	static const char out[] = "/gnu/store/11111111111111111111111111111111-a";
	static const char doc[] = "/gnu/store/22222222222222222222222222222222-a-doc";
	struct gc_request req = { .action = STORE_GC_LIVE };
	auto_vec struct vec paths = VEC_INIT;
	struct bench b;
	struct db *db = NULL;

	if (!begin(&b))
		return;
	CHECK_INT(local_db(b.l, &db, &b.e), 0);
	CHECK_INT(db_begin(db, &b.e), 0);
	CHECK_INT(add_row(&b, db, drv, ""), 0);
	CHECK_INT(add_row(&b, db, out, drv), 0);
	CHECK_INT(add_row(&b, db, doc, drv), 0);
	CHECK_INT(db_add_output(db, drv, "doc", doc, &b.e), 0);
	CHECK_INT(db_add_output(db, drv, "out", out, &b.e), 0);
	CHECK_INT(db_commit(db, &b.e), 0);
	CHECK_INT(symlinkat(out, b.fd, "var/guix/gcroots/r"), 0);
	CHECK_INT(gc(&b, req, &paths), 0);
	CHECK(paths.n == 2 && vec_has_str(&paths, drv) && vec_has_str(&paths, out));
	req.drop_derivations = true;
	CHECK_INT(gc(&b, req, &paths), 0);
	CHECK(paths.n == 1 && vec_has_str(&paths, out));
	req.keep_outputs = true;
	CHECK_INT(gc(&b, req, &paths), 0);
	CHECK_INT(paths.n, 1);
	req.drop_derivations = false;
	CHECK_INT(gc(&b, req, &paths), 0);
	CHECK_INT(paths.n, 3);
	CHECK_INT(unlinkat(b.fd, "var/guix/gcroots/r", 0), 0);
	CHECK_INT(symlinkat(drv, b.fd, "var/guix/gcroots/r"), 0);
	CHECK_INT(gc(&b, req, &paths), 0);
	CHECK_INT(paths.n, 3);
	req.keep_outputs = false;
	CHECK_INT(gc(&b, req, &paths), 0);
	CHECK_INT(paths.n, 1);
	end(&b);
}

/* A root that was added is known, and what it was read as last counts. */
TEST(gc_03_known_roots)
{
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	const char *one, *two, *link;

	if (!begin(&b))
		return;
	one = add(&b, "one", slice_of("1"), NULL);
	two = add(&b, "two", slice_of("2"), NULL);
	reopen(&b);
	CHECK_INT(symlinkat(one, b.fd, "held"), 0);
	link = arena_fmt(&b.a, "%s/held", b.dir);
	CHECK_INT(roots_add_indirect(b.l, link, -1, -1, &b.e), 0);
	world.unreadable = "/held";
	CHECK_INT(collect(&b, STORE_GC_LIVE, &paths), 0);
	CHECK_INT(paths.n, 1);
	CHECK_STR(paths.n ? paths.v[0] : NULL, one);
	world.unreadable = NULL;
	CHECK_INT(unlinkat(b.fd, "held", 0), 0);
	CHECK_INT(symlinkat(two, b.fd, "held"), 0);
	CHECK_INT(collect(&b, STORE_GC_LIVE, &paths), 0);
	world.unreadable = "/held";
	paths.n = 0;
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(valid(&b, two) && !valid(&b, one));
	/* gone and unreadable are two things */
	world.unreadable = NULL;
	CHECK_INT(unlinkat(b.fd, "held", 0), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(!valid(&b, two));
	end(&b);
}

/* GC-03: a root that cannot be read is no reason to delete what it may hold. */
TEST(gc_03_unreadable_roots)
{
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	const char *one = begin_one(&b), *link;

	if (!one)
		return;
	CHECK_INT(symlinkat(one, b.fd, "var/guix/gcroots/direct"), 0);
	world.unreadable = "gcroots/direct";
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -EIO);
	CHECK_INT(unlinkat(b.fd, "var/guix/gcroots/direct", 0), 0);
	CHECK_INT(symlinkat(one, b.fd, "held"), 0);
	link = arena_fmt(&b.a, "%s/held", b.dir);
	world.unreadable = "/held";
	CHECK_INT(roots_add_indirect(b.l, link, -1, -1, &b.e), -EIO);
	CHECK(strstr(b.e.msg, link) != NULL);
	CHECK_INT(symlinkat(link, b.fd, "var/guix/gcroots/auto/unknown"), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -EIO);
	CHECK(strstr(b.e.msg, link) != NULL);
	world.unreadable = NULL;
	CHECK(valid(&b, one) && exists(&b, one));
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(valid(&b, one) && exists(&b, one));
	world.unreadable = "/held"; /* now it is known what it was */
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(valid(&b, one) && exists(&b, one));
	world.unreadable = NULL;
	end(&b);
}

/* A link that is made again just when its root is found to be stale must not lose it. */
TEST(a_root_is_not_stale_while_it_is_added)
{
	struct bench b;
	static const char stale[] = "var/guix/gcroots/auto/stale";
	auto_vec struct vec paths = VEC_INIT, roots = VEC_INIT;
	char *link;

	if (!begin(&b))
		return;
	link = arena_fmt(&b.a, "%s/held", b.dir);
	world.lock = openat(b.fd, "var/guix/gc.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(world.lock > 0);
	CHECK_INT(roots_add_indirect(b.l, link, -1, -1, &b.e), 0);
	CHECK_INT(symlinkat("/nowhere", b.fd, stale), 0);
	CHECK_INT(roots_find(b.l, false, &b.a, &roots, &b.e), 0);
	CHECK_INT(faccessat(b.fd, stale, F_OK, AT_SYMLINK_NOFOLLOW), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(faccessat(b.fd, stale, F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	CHECK_INT(world.racing, 0);
	fd_close(&world.lock);
	world.lock = 0;
	end(&b);
}

/* Equal files become links while no collection is on, and what is gone by then is passed over. */
TEST(links_beside_collections)
{
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	static char text[LINKS_SIZE_MIN + 1];
	const char *one;
	uint64_t saved;

	if (!begin(&b))
		return;
	memset(text, 'x', sizeof(text) - 1);
	one = add(&b, "one", slice_of(text), NULL);
	reopen(&b);
	world.lock = openat(b.fd, "var/guix/gc.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	world.changes = world.racing = 0;
	CHECK_INT(local_optimise(b.l, one, &saved, &b.e), 0);
	CHECK(world.changes > 0);
	CHECK_INT(world.racing, 0);
	fd_close(&world.lock);
	world.lock = 0;
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK_INT(paths.n, 1);
	CHECK_INT(local_optimise(b.l, one, &saved, &b.e), 0);
	end(&b);
}

/* Directories of dead builds go with the next build, but not those of which nobody knows. */
TEST(directories_of_builds)
{
	struct bench b;
	struct workdir w = WORKDIR_INIT;

	if (!begin(&b))
		return;
	CHECK_INT(mkdirat(b.fd, "var/guix/builds", 0755), 0);
	CHECK_INT(mkdirat(b.fd, "var/guix/builds/1.0", 0755), 0);
	CHECK_INT(mkdirat(b.fd, "var/guix/builds/2.0", 0755), 0);
	CHECK_INT(mkdirat(b.fd, "var/guix/builds/2.0/lock", 0755), 0); /* opening it fails */
	CHECK_INT(workdir_make(&w, b.l, &b.e), 0);
	CHECK(!exists(&b, "var/guix/builds/1.0"));
	CHECK(exists(&b, "var/guix/builds/2.0"));
	workdir_remove(&w, b.l);
	end(&b);
}

/* GC-04: directories of roots, or the database, that are not the ones of this store. */
TEST(gc_04_missing_file_systems)
{
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	const char *one = begin_one(&b);

	if (!one)
		return;
	CHECK_INT(symlinkat(one, b.fd, "var/guix/profiles/p"), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK_INT(renameat(b.fd, "var/guix/profiles", b.fd, "mounted"), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -ERR_INVALID);
	CHECK_INT(mkdirat(b.fd, "var/guix/profiles", 0755), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -ERR_INVALID);
	CHECK_INT(unlinkat(b.fd, "var/guix/profiles", AT_REMOVEDIR), 0);
	/* it may lie elsewhere */
	CHECK_INT(symlinkat("../../mounted", b.fd, "var/guix/profiles"), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(valid(&b, one));
	/* the whole state directory is another: no row says that anything is valid */
	local_close(b.l);
	CHECK_INT(renameat(b.fd, "var", b.fd, "var-mounted"), 0);
	CHECK(open_bench(&b));
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -ERR_DB);
	CHECK(exists(&b, one));
	local_close(b.l);
	/* and has a database, of another store */
	CHECK_INT(renameat(b.fd, "gnu", b.fd, "gnu-mounted"), 0);
	CHECK(open_bench(&b));
	CHECK(!valid(&b, one));
	local_close(b.l);
	CHECK_INT(file_delete_tree(b.fd, "gnu", NULL, &b.e), 0);
	CHECK_INT(renameat(b.fd, "gnu-mounted", b.fd, "gnu"), 0);
	CHECK(open_bench(&b));
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -ERR_INVALID);
	CHECK(exists(&b, one));
	local_close(b.l);
	CHECK_INT(file_delete_tree(b.fd, "var", NULL, &b.e), 0);
	CHECK_INT(renameat(b.fd, "var-mounted", b.fd, "var"), 0);
	CHECK(open_bench(&b));
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(valid(&b, one));
	end(&b);
}

/* GC-05, as far as it concerns the store: ages decide about left-over links. */
TEST(gc_05_absurd_clock)
{
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	const char *one = begin_one(&b);

	if (!one)
		return;
	world.now = 1000;
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -ERR_INVALID);
	world.now = 4083955200; /* 2099 */
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -ERR_INVALID);
	CHECK_INT(collect(&b, STORE_GC_DEAD, &paths), 0);
	world.now = 0;
	CHECK(valid(&b, one));
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(!valid(&b, one));
	end(&b);
}

/* GC-07: links are read, not followed. */
TEST(gc_07_hostile_roots)
{
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	const char *one = begin_one(&b);

	if (!one)
		return;
	CHECK_INT(mkfifoat(b.fd, "fifo", 0600), 0);
	CHECK_INT(symlinkat(arena_fmt(&b.a, "%s/fifo", b.dir), b.fd, "var/guix/gcroots/fifo"), 0);
	CHECK_INT(symlinkat("itself", b.fd, "var/guix/gcroots/itself"), 0);
	CHECK_INT(symlinkat("..", b.fd, "var/guix/gcroots/up"), 0);
	CHECK_INT(symlinkat("/dev/full/x", b.fd, "var/guix/gcroots/full"), 0);
	for (unsigned i = 0; i < 1000; i++)
		if (symlinkat(arena_fmt(&b.a, "%s/l%u", b.dir, i + 1), b.fd,
			      arena_fmt(&b.a, "l%u", i)) < 0)
			TEST_FAIL("link %u", i);
	CHECK_INT(symlinkat(one, b.fd, "l1000"), 0);
	CHECK_INT(symlinkat(arena_fmt(&b.a, "%s/l0", b.dir), b.fd, "var/guix/gcroots/long"), 0);
	CHECK_INT(collect(&b, STORE_GC_LIVE, &paths), 0);
	CHECK_INT(paths.n, 0);
	CHECK_INT(symlinkat(arena_fmt(&b.a, "%s/l1000", b.dir), b.fd, "var/guix/gcroots/two"), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(valid(&b, one));
	end(&b);
}

/* GC-08: a record that was not completely written, and what a dead process left. */
TEST(gc_08_temporary_roots)
{
	struct bench b;
	auto_vec struct vec temp = VEC_INIT, paths = VEC_INIT;
	struct roots_temp held;
	const char *one = "/gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-a";
	int fd;

	if (!begin(&b))
		return;
	fd = openat(b.fd, "var/guix/temproots/7", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && fd_lock(fd, false, true) == 0);
	CHECK_INT(fd_write_full(fd, one, strlen(one) + 1), 0);
	CHECK_INT(fd_write_full(fd, one, 20), 0);
	CHECK_INT(roots_temp(b.l, &b.a, &temp, &held, &b.e), 0);
	CHECK_INT(temp.n, 1);
	roots_temp_done(&held);
	/* no link is followed from there */
	CHECK_INT(symlinkat("../../../etc/passwd", b.fd, "var/guix/temproots/8"), 0);
	CHECK(collect(&b, STORE_GC_DELETE, &paths) < 0);
	CHECK_INT(unlinkat(b.fd, "var/guix/temproots/8", 0), 0);
	fd_close(&fd);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(!exists(&b, "var/guix/temproots/7"));
	end(&b);
}

/* GC-09: what cannot be deleted does not keep the rest, and is told. */
TEST(gc_09_undeletable)
{
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	const char *one, *two;

	if (!begin(&b))
		return;
	one = add(&b, "one", slice_of("1"), NULL);
	two = add(&b, "two", slice_of("2"), NULL);
	reopen(&b);
	CHECK_INT(mkdirat(b.fd, "gnu/store/rubbish", 0755), 0);
	CHECK_INT(mkdirat(b.fd, "gnu/store/rubbish/stuck", 0755), 0);
	world.undeletable = "stuck";
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -EIO);
	CHECK(strstr(b.e.msg, "1 thing could not be deleted") && strstr(b.e.msg, "stuck"));
	CHECK(!exists(&b, one) && !exists(&b, two) && !exists(&b, "gnu/store/rubbish"));
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), -EIO);
	world.undeletable = NULL;
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(!exists(&b, "gnu/store/trash"));
	end(&b);
}

static bool stop_at_second(void *arg)
{
	return ++*(unsigned *)arg == 2;
}

/* Who asked for it may leave; what was begun is finished by the next collection. */
TEST(interrupted)
{
	struct bench b;
	unsigned asked = 0;
	struct gc_request req = { .action = STORE_GC_DELETE,
				  .max_freed = UINT64_MAX,
				  .stop = stop_at_second,
				  .arg = &asked };
	auto_vec struct vec paths = VEC_INIT;
	const char *one, *two;

	if (!begin(&b))
		return;
	one = add(&b, "one", slice_of("1"), NULL);
	two = add(&b, "two", slice_of("2"), NULL);
	reopen(&b);
	CHECK_INT(gc(&b, req, &paths), -EINTR);
	CHECK(!valid(&b, one) && !valid(&b, two) && !exists(&b, one) && !exists(&b, two));
	CHECK(exists(&b, "gnu/store/trash"));
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(!exists(&b, "gnu/store/trash"));
	end(&b);
}

/* Of .links only that is looked at which lost a name; all of it after an interrupted run. */
TEST(links_of_what_is_deleted)
{
	struct bench b;
	auto_vec struct vec paths = VEC_INIT;
	static char text[LINKS_SIZE_MIN + 1];
	const char *one, *other;
	struct stat st;
	int fd;

	if (!begin(&b))
		return;
	memset(text, 'x', sizeof(text) - 1);
	one = add(&b, "one", slice_of(text), NULL);
	text[0] = 'y';
	other = add(&b, "other", slice_of(text), NULL);
	CHECK_INT(fstatat(b.fd, one + 1, &st, AT_SYMLINK_NOFOLLOW), 0);
	CHECK_INT(st.st_nlink, 2);
	reopen(&b);
	CHECK_INT(symlinkat(other, b.fd, "var/guix/gcroots/other"), 0);
	fd = openat(b.fd, "gnu/store/.links/alone", O_RDWR | O_CREAT | O_CLOEXEC, 0444);
	CHECK(fd >= 0);
	fd_close(&fd);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK_INT(paths.n, 1);
	fd = openat(b.fd, "gnu/store/.links", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(fstat(fd, &st), 0);
	fd_close(&fd);
	CHECK(exists(&b, "gnu/store/.links/alone")); /* not looked at */
	CHECK_INT(mkdirat(b.fd, "gnu/store/trash", 0700), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, &paths), 0);
	CHECK(!exists(&b, "gnu/store/.links/alone") && !exists(&b, "gnu/store/trash"));
	CHECK_INT(fstatat(b.fd, other + 1, &st, AT_SYMLINK_NOFOLLOW), 0);
	CHECK_INT(st.st_nlink, 2);
	end(&b);
}

static void check_sound(struct bench *b)
{
	struct local_verify o = { .contents = true };
	uint64_t errors = 99;

	CHECK_INT(local_verify(b->l, &o, &errors, &b->e), 0);
	CHECK_INT(errors, 0);
}

/* Write a byte over the only entry of .links. */
static void damage_link(struct bench *b)
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec names = VEC_INIT;
	auto_fd int dir = openat(b->fd, "gnu/store/.links", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int fd = -1;

	CHECK_INT(nar_list_dir(&a, dir, &names), 0);
	CHECK_INT(names.n, 1);
	if (names.n == 1 && fchmodat(dir, names.v[0], 0644, 0) == 0)
		fd = openat(dir, names.v[0], O_WRONLY | O_CLOEXEC);
	CHECK_INT(fd_write_full(fd, "X", 1), 0);
	CHECK_INT(fchmodat(dir, names.v[0], 0444, 0), 0);
}

/* OUT-08: whatever happens to links, items have the contents they should have. */
TEST(out_08_link_faults)
{
	static const int faults[] = { EMLINK, ENOSPC, EDQUOT, EPERM };
	static char text[2 * LINKS_SIZE_MIN];
	struct bench b;
	const char *one, *two, *three;
	struct stat st, other;

	if (!begin(&b))
		return;
	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		world.link = faults[i];
		one = add(&b, arena_fmt(&b.a, "one%zu", i), slice_of(text), NULL);
		world.link = 0;
		CHECK_INT(fstatat(b.fd, one + 1, &st, AT_SYMLINK_NOFOLLOW), 0);
		CHECK_INT(st.st_nlink, 1);
	}
	check_sound(&b);
	/* the entry is damaged, and with it the item that has it */
	one = add(&b, "one", slice_of(text), NULL);
	damage_link(&b);
	two = add(&b, "two", slice_of(text), NULL);
	three = add(&b, "three", slice_of(text), NULL);
	CHECK_INT(fstatat(b.fd, two + 1, &st, AT_SYMLINK_NOFOLLOW), 0);
	CHECK_INT(fstatat(b.fd, three + 1, &other, AT_SYMLINK_NOFOLLOW), 0);
	CHECK(st.st_ino == other.st_ino);
	CHECK_INT(fstatat(b.fd, one + 1, &other, AT_SYMLINK_NOFOLLOW), 0);
	CHECK(st.st_ino != other.st_ino);
	CHECK_INT(local_invalidate(b.l, one, &b.e), 0);
	check_sound(&b);
	end(&b);
}

TEST_MAIN(derivations_and_outputs, long_chains_need_no_stack, stops_when_enough_is_freed,
	  gc_03_known_roots, gc_03_unreadable_roots, a_root_is_not_stale_while_it_is_added,
	  links_beside_collections, directories_of_builds, gc_04_missing_file_systems,
	  gc_05_absurd_clock, gc_07_hostile_roots, gc_08_temporary_roots, gc_09_undeletable,
	  interrupted, links_of_what_is_deleted, out_08_link_faults);
