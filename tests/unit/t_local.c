/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The local store: adding, asking, locking, collecting, checking. */
#include "store/local/local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "store/local/db.h"
#include "store/local/gc.h"
#include "store/format/nar.h"
#include "store/local/roots.h"
#include "tests/unit/test.h"

/* Stands in front of the C library's: whether the log was made durable while a file was there. */
static struct {
	const char *file;
	bool synced;
} before;

int fsync(int fd)
{
	char link[32], to[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = before.file ? readlink(link, to, sizeof(to)) : 0;
	if (n > 0 && slice_ends((struct slice){ to, (size_t)n }, "/db.sqlite-wal") &&
	    access(before.file, F_OK) == 0)
		before.synced = true;
	return (int)syscall(SYS_fsync, fd);
}

/* So does this, which is called when a large file is read: the path is deleted at that moment. */
static struct {
	struct local *l; /* borrowed; NULL: nothing */
	const char *path, *file;
} collected;

int posix_fadvise(int fd, off_t offset, off_t len, int advice)
{
	struct local *l = collected.l;

	(void)fd, (void)offset, (void)len, (void)advice;
	collected.l = NULL;
	if (l) {
		CHECK_INT(local_invalidate(l, collected.path, NULL), 0);
		CHECK_INT(file_delete_tree(AT_FDCWD, collected.file, NULL, NULL), 0);
	}
	return 0;
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

	return local_open(&opts, &b->l, &b->e) == 0;
}

static bool begin(struct bench *b)
{
	const char *tmp = getenv("TMP");

	*b = (struct bench){ .fd = -1 };
	snprintf(b->dir, sizeof(b->dir), "%.200s/t_local.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (mkdtemp(b->dir))
		b->fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->fd >= 0 && open_bench(b))
		return true;
	TEST_FAIL("%s", b->e.msg);
	return false;
}

static void end(struct bench *b)
{
	local_close(b->l);
	fd_close(&b->fd);
	arena_done(&b->a);
	CHECK_INT(file_delete_tree(AT_FDCWD, b->dir, NULL, NULL), 0);
}

static bool exists(struct bench *b, const char *logical)
{
	return faccessat(b->fd, logical + 1, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool valid(struct bench *b, const char *path)
{
	bool v = false;

	CHECK_INT(local_is_valid(b->l, path, &v, &b->e), 0);
	return v;
}

static const char *add(struct bench *b, const char *name, const char *text, const char *ref)
{
	char *path = NULL;
	int r = local_add_text(b->l, &b->a, name, slice_of(text), &ref, ref ? 1 : 0, &path, &b->e);

	if (r < 0)
		TEST_FAIL("%s", b->e.msg);
	return path ? path : "";
}

static size_t entries(struct bench *b, const char *logical)
{
	auto_fd int fd = openat(b->fd, logical + 1, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_vec struct vec names = VEC_INIT;

	CHECK_INT(nar_list_dir(&b->a, fd, &names), 0);
	return names.n;
}

TEST(texts_and_references)
{
	auto_vec struct vec closure = VEC_INIT, referrers = VEC_INIT;
	struct store_info *info = NULL;
	struct bench b;
	const char *one, *two, *found = NULL;
	struct stat st;

	if (!begin(&b))
		return;
	one = add(&b, "hello.txt", "hello world\n", NULL);
	CHECK_STR(one, "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt");
	two = add(&b, "two.txt", "refers", one);
	CHECK(local_pending(b.l));
	CHECK(valid(&b, one) && valid(&b, two));
	CHECK_INT(local_closure(b.l, &b.a, &two, 1, &closure, &b.e), 0);
	CHECK_INT(closure.n, 2);
	CHECK_INT(local_info(b.l, &b.a, two, &info, &b.e), 0);
	CHECK(info && info->nrefs == 1 && !strcmp(info->refs[0], one));
	CHECK_INT(local_flush(b.l, &b.e), 0);
	CHECK(!local_pending(b.l));
	CHECK(valid(&b, one) && valid(&b, two));
	closure.n = 0;
	CHECK_INT(local_closure(b.l, &b.a, &two, 1, &closure, &b.e), 0);
	CHECK_INT(closure.n, 2);
	CHECK_INT(local_info(b.l, &b.a, one, &info, &b.e), 0);
	CHECK_INT(info->nar_size, 128);
	CHECK(info->nar_hash.bytes[0] == 0x34 && info->nar_hash.bytes[31] == 0x03);
	CHECK_INT(local_referrers(b.l, &b.a, one, &referrers, &b.e), 0);
	CHECK(referrers.n == 1 && !strcmp(referrers.v[0], two));
	CHECK_INT(local_by_hash_part(b.l, &b.a, SLICE("3qfa38x5ns7r5wn2mjnd2vnrsj1wircv"), &found,
				     &b.e),
		  0);
	CHECK_STR(found, one);
	CHECK_INT(local_by_hash_part(b.l, &b.a, SLICE("3qfa38x5ns7r5wn2mjnd2vnrsj1wircw"), &found,
				     &b.e),
		  0);
	CHECK(!found);
	CHECK(fstatat(b.fd, one + 1, &st, 0) == 0 && (st.st_mode & 07777) == 0444 &&
	      st.st_mtim.tv_sec == 1);
	CHECK_INT(entries(&b, "/gnu/store"), 2); /* no locks left */
	end(&b);
}

TEST(invalid_references_are_refused)
{
	struct bench b;
	const char *ref = "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-hello.txt";
	char *path = NULL;

	if (!begin(&b))
		return;
	CHECK_INT(local_add_text(b.l, &b.a, "x", SLICE("y"), &ref, 1, &path, &b.e), -ERR_NOTVALID);
	CHECK(!path);
	CHECK_INT(local_add_text(b.l, &b.a, ".x", SLICE("y"), NULL, 0, &path, &b.e), -ERR_INVALID);
	CHECK_INT(entries(&b, "/gnu/store"), 0);
	end(&b);
}

TEST(derivations_are_checked)
{
	struct bench b;
	struct err e = ERR_INIT;
	auto_vec struct vec ids = VEC_INIT, paths = VEC_INIT, derivers = VEC_INIT;
	struct drv_output out = { "out", "", "", "" };
	struct drv d = {
		.name = "x", .outputs = &out, .noutputs = 1, .system = "s", .builder = "/b"
	};
	auto_str struct str text = STR_INIT;
	const char *drv;
	char *path;

	if (!begin(&b))
		return;
	CHECK_INT(drv_fill_outputs(&b.a, "/gnu/store", &d, local_modulo, b.l, &e), 0);
	drv_format(&d, &text);
	drv = add(&b, "x.drv", text.buf, NULL);
	CHECK_INT(local_drv_outputs(b.l, &b.a, drv, &ids, &paths, &e), 0);
	CHECK(ids.n == 1 && !strcmp(ids.v[0], "out") && !strcmp(paths.v[0], out.path));
	CHECK_INT(local_derivers(b.l, &b.a, out.path, &derivers, &e), 0);
	CHECK(derivers.n == 1 && !strcmp(derivers.v[0], drv));
	/* one character of the output path changed, in both places */
	for (char *p = text.buf; (p = strstr(p, "/gnu/store/"));) {
		p += strlen("/gnu/store/");
		*p = *p == 'a' ? 'b' : 'a';
	}
	CHECK_INT(local_add_text(b.l, &b.a, "x.drv", str_slice(&text), NULL, 0, &path, &e),
		  -ERR_INVALID);
	CHECK(strstr(e.msg, "incorrect output") != NULL);
	CHECK_INT(local_add_text(b.l, &b.a, "x.drv", SLICE("Derive("), NULL, 0, &path, &e),
		  -ERR_SYNTAX);
	CHECK_INT(local_flush(b.l, &e), 0);
	CHECK_INT(entries(&b, "/gnu/store"), 1);
	end(&b);
}

static struct nar_source *file_source(struct bench *b, const char *name)
{
	int fd = openat(b->fd, name, O_RDONLY | O_CLOEXEC);

	return nar_source_fd(&b->a, fd); /* the test ends before descriptors do */
}

static void make_nar(struct bench *b, const char *tree, const char *nar)
{
	auto_fd int fd = openat(b->fd, nar, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK_INT(nar_dump(b->fd, tree, NULL, NULL, nar_sink_fd(&b->a, fd), &b->e), 0);
}

static void make_file(struct bench *b, const char *name, size_t size)
{
	auto_fd int fd = openat(b->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	for (size_t i = 0; i < size; i++)
		CHECK_INT(write(fd, "x", 1), 1);
}

static void damage(struct bench *b, const char *path)
{
	CHECK_INT(fchmodat(b->fd, path, 0644, 0), 0);
	auto_fd int fd = openat(b->fd, path, O_WRONLY | O_CLOEXEC);

	CHECK_INT(pwrite(fd, "\xff", 1, 5), 1);
	CHECK_INT(fchmod(fd, 0444), 0);
}

TEST(archives_and_links)
{
	struct bench b;
	char *one = NULL, *two = NULL, *three = NULL, *flat = NULL;
	struct stat st, st2;

	if (!begin(&b))
		return;
	CHECK_INT(mkdirat(b.fd, "t", 0755), 0);
	make_file(&b, "t/big", 9000);
	make_file(&b, "t/small", 10);
	make_nar(&b, "t", "t.nar");
	make_nar(&b, "t/big", "big.nar");
	CHECK_INT(local_add_nar(b.l, &b.a, "one", true, DIGEST_SHA256, file_source(&b, "t.nar"),
				&one, &b.e),
		  0);
	CHECK_INT(local_add_nar(b.l, &b.a, "two", true, DIGEST_SHA1, file_source(&b, "t.nar"), &two,
				&b.e),
		  0);
	CHECK_INT(local_add_nar(b.l, &b.a, "flat", false, DIGEST_MD5, file_source(&b, "big.nar"),
				&flat, &b.e),
		  0);
	if (!one || !two || !flat) {
		TEST_FAIL("%s", b.e.msg);
		return;
	}
	CHECK(valid(&b, one) && valid(&b, two) && valid(&b, flat));
	CHECK(fstatat(b.fd, arena_fmt(&b.a, "%s/big", one + 1), &st, 0) == 0 && st.st_nlink == 3);
	CHECK(fstatat(b.fd, arena_fmt(&b.a, "%s/big", two + 1), &st2, 0) == 0 &&
	      st2.st_ino == st.st_ino);
	/* One that the disk has damaged gets no more links. */
	damage(&b, arena_fmt(&b.a, "%s/big", one + 1));
	CHECK_INT(local_add_nar(b.l, &b.a, "three", true, DIGEST_SHA256, file_source(&b, "t.nar"),
				&three, &b.e),
		  0);
	CHECK(three && fstatat(b.fd, arena_fmt(&b.a, "%s/big", three + 1), &st2, 0) == 0 &&
	      st2.st_ino != st.st_ino && st2.st_nlink == 2);
	CHECK(fstatat(b.fd, one + 1, &st, 0) == 0 && (st.st_mode & 07777) == 0555 &&
	      st.st_mtim.tv_sec == 1);
	CHECK(fstatat(b.fd, flat + 1, &st, 0) == 0 && (st.st_mode & 07777) == 0444);
	CHECK_INT(local_add_nar(b.l, &b.a, "flat", false, DIGEST_MD5, file_source(&b, "t.nar"),
				&flat, &b.e),
		  -ERR_INVALID);
	CHECK_INT(local_add_nar(b.l, &b.a, "bad", true, DIGEST_SHA256, file_source(&b, "t/small"),
				&flat, &b.e),
		  -ERR_LIMIT);
	local_close(b.l);
	b.l = NULL;
	CHECK_INT(entries(&b, "/gnu/store"), 5); /* four items and .links */
	CHECK(open_bench(&b));
	CHECK(valid(&b, one) && valid(&b, two));
	end(&b);
}

TEST(known_items_must_match)
{
	struct bench b;
	struct store_info info = { .path = "/gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-k",
				   .deriver = "" };

	if (!begin(&b))
		return;
	make_file(&b, "f", 5);
	make_nar(&b, "f", "f.nar");
	CHECK_INT(nar_hash(b.fd, "f", DIGEST_SHA256, NULL, NULL, &info.nar_hash, &info.nar_size,
			   &b.e),
		  0);
	info.nar_hash.bytes[3] ^= 1;
	CHECK_INT(local_add_known(b.l, &info, file_source(&b, "f.nar"), &b.e), -ERR_HASH);
	CHECK(!valid(&b, info.path) && !exists(&b, info.path));
	info.nar_hash.bytes[3] ^= 1;
	CHECK_INT(local_add_known(b.l, &info, file_source(&b, "f.nar"), &b.e), 0);
	CHECK(valid(&b, info.path) && exists(&b, info.path));
	end(&b);
}

TEST(cycles_are_refused)
{
	struct bench b;
	const char *pa = "/gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-a";
	const char *pb = "/gnu/store/7rpc9iicq65crfspfsnpakkl38gd8dx7-b";
	const char *to_a[] = { pa }, *to_both[] = { pb, pa };
	struct store_info a = { .path = pa, .deriver = "", .refs = to_both, .nrefs = 2 };
	struct store_info c = { .path = pb, .deriver = "", .refs = to_a, .nrefs = 1 };
	const struct store_info *infos[] = { &a, &c };

	if (!begin(&b))
		return;
	CHECK_INT(local_register(b.l, infos, 2, &b.e), -ERR_BUILD);
	CHECK(!valid(&b, pa));
	c.nrefs = 0;
	make_file(&b, pa + 1, 3);
	make_file(&b, pb + 1, 3);
	CHECK_INT(local_register(b.l, infos, 2, &b.e), 0);
	CHECK(valid(&b, pa) && valid(&b, pb));
	CHECK_INT(local_invalidate(b.l, pb, &b.e), -ERR_IN_USE);
	CHECK_INT(local_invalidate(b.l, pa, &b.e), 0); /* its own reference does not hold it */
	CHECK_INT(local_invalidate(b.l, pb, &b.e), 0);
	end(&b);
}

TEST(locks)
{
	struct bench b;
	const char *p[] = { "/gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-a",
			    "/gnu/store/7rpc9iicq65crfspfsnpakkl38gd8dx7-b" };
	struct local_locks one = LOCAL_LOCKS_INIT, two = LOCAL_LOCKS_INIT;

	if (!begin(&b))
		return;
	CHECK_INT(local_lock_paths(b.l, p, 2, false, &one, &b.e), 0);
	CHECK_INT(local_lock_paths(b.l, p + 1, 1, false, &two, &b.e), -EAGAIN);
	local_unlock(b.l, &one, true);
	CHECK_INT(local_lock_paths(b.l, p + 1, 1, false, &two, &b.e), 0);
	local_unlock(b.l, &two, true);
	CHECK_INT(entries(&b, "/gnu/store"), 0);
	end(&b);
}

static int run_child(struct bench *b, const char *pending)
{
	bool v = true;

	local_forked(b->l);
	if (local_is_valid(b->l, pending, &v, &b->e) < 0 || v)
		return 1; /* not flushed: not for us */
	if (!*add(b, "child", "c", NULL) || local_flush(b->l, &b->e) < 0)
		return 2;
	local_close(b->l);
	return 0;
}

TEST(a_forked_child_works_alone)
{
	struct bench b;
	const char *path;
	int status = -1;
	pid_t pid;

	if (!begin(&b))
		return;
	path = add(&b, "parent", "p", NULL);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(run_child(&b, path));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK_INT(local_flush(b.l, &b.e), 0);
	CHECK(valid(&b, path));
	end(&b);
}

TEST(sp_02_a_store_that_is_a_link)
{
	struct bench b;
	struct local_opts opts = { .root = b.dir };

	if (!begin(&b))
		return;
	local_close(b.l);
	b.l = NULL;
	CHECK_INT(renameat(b.fd, "gnu", b.fd, "other"), 0);
	CHECK_INT(symlinkat("other", b.fd, "gnu"), 0);
	CHECK_INT(local_open(&opts, &b.l, &b.e), -ERR_INVALID);
	end(&b);
}

TEST(image_databases_are_reproducible)
{
	struct bench b;
	const char *pa = "/gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-a";
	const char *pb = "/gnu/store/7rpc9iicq65crfspfsnpakkl38gd8dx7-b";
	const char *to_a[] = { pa };
	struct store_info a = { .path = pa, .deriver = "", .nar_size = 5 };
	struct store_info c = {
		.path = pb, .deriver = "", .nar_size = 6, .refs = to_a, .nrefs = 1
	};
	const struct store_info *order[] = { &a, &c, &a };
	auto_str struct str one = STR_INIT, two = STR_INIT;
	struct store_info *info = NULL;
	struct db *db = NULL;
	const char *file;

	if (!begin(&b))
		return;
	file = arena_fmt(&b.a, "%s/1.db", b.dir);
	CHECK_INT(store_db_create(file, order, 2, &b.e), 0);
	CHECK_INT(store_db_create(file, order, 2, &b.e), -EEXIST);
	a.registered = 77;
	CHECK_INT(store_db_create(arena_fmt(&b.a, "%s/2.db", b.dir), order + 1, 2, &b.e), 0);
	CHECK_INT(file_read(b.fd, "1.db", &one, 1 << 20, &b.e), 0);
	CHECK_INT(file_read(b.fd, "2.db", &two, 1 << 20, &b.e), 0);
	CHECK(slice_eq(str_slice(&one), str_slice(&two)));
	CHECK_INT(db_open(file, DIALECT_GUIX, true, &db, &b.e), 0);
	CHECK_INT(db_info(db, &b.a, pb, true, &info, &b.e), 0);
	CHECK(info && info->registered == 1 && info->nar_size == 6 && info->nrefs == 1);
	db_close(db);
	c.refs = &pb;
	c.nrefs = 1;
	c.path = pa;
	CHECK_INT(store_db_create(arena_fmt(&b.a, "%s/3.db", b.dir), order + 1, 1, &b.e),
		  -ERR_NOTVALID);
	CHECK(faccessat(b.fd, "3.db", F_OK, 0) < 0);
	end(&b);
}

/* "KEY=TYPE:TEXT " of each value, or an error code. */
static const char *json_told(struct db *db, struct arena *a, const char *json)
{
	auto_vec struct vec v = VEC_INIT;
	auto_str struct str out = STR_INIT;
	int r = db_json(db, a, slice_of(json), &v, NULL);

	for (size_t i = 0; i < v.n; i++) {
		const struct json_value *x = v.v[i];

		str_addf(&out, "%s=%d:%.*s ", x->key, x->type, (int)x->text.n, x->text.p);
	}
	return r ? arena_fmt(a, "%d", r) : arena_slice(a, str_slice(&out));
}

TEST(json)
{
	struct bench b;
	struct db *db = NULL;
	auto_str struct str deep = STR_INIT;

	if (!begin(&b))
		return;
	CHECK_INT(db_open(arena_fmt(&b.a, "%s/j.db", b.dir), DIALECT_NIX, true, &db, &b.e), 0);
	CHECK_STR(json_told(db, &b.a,
			    "{\"b\":[1, {\"x\":\"\\u00e9\"}],\"a\":\"\\u00e9\\n\\\"\",\"c\":{}}"),
		  "a=5:\xc3\xa9\n\" b=6:[1,{\"x\":\"\\u00e9\"}] c=7:{} ");
	CHECK_STR(
		json_told(db, &b.a, "[true,false,null,-7,9223372036854775807,0.1,1e300,2.0,\"\"]"),
		"=1:true =2:false =0:null =3:-7 =3:9223372036854775807 =4:0.10000000000000001 "
		"=4:1.0000000000000001e+300 =4:2 =5: ");
	CHECK_STR(json_told(db, &b.a, "[1e999]"), "=4:null ");
	static const char *const bad[] = { "", "{", "[1", "{\"a\"}", "[1]]", "nonsense" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_STR(json_told(db, &b.a, bad[i]), arena_fmt(&b.a, "%d", -ERR_SYNTAX));
	for (int i = 0; i < 100000; i++)
		str_addc(&deep, '[');
	CHECK_STR(json_told(db, &b.a, deep.buf), arena_fmt(&b.a, "%d", -ERR_SYNTAX));
	CHECK_STR(json_told(db, &b.a, "[1]"), "=3:1 "); /* an error leaves nothing behind */
	db_close(db);
	end(&b);
}

struct reports {
	unsigned n;
	char last[300];
};

static void report(void *arg, const char *text)
{
	struct reports *r = arg;

	r->n++;
	snprintf(r->last, sizeof(r->last), "%s", text);
}

static int verify(struct bench *b, bool contents, struct reports *rep, uint64_t *errors)
{
	struct local_verify o = { .contents = contents, .report = rep ? report : NULL, .arg = rep };

	return local_verify(b->l, &o, errors, &b->e);
}

TEST(faults_are_found)
{
	struct bench b;
	struct reports rep = { 0 };
	const char *one, *two, *three;
	uint64_t errors = 99, removed = 99;
	struct vec gone = VEC_INIT;

	if (!begin(&b))
		return;
	one = add(&b, "one", "1", NULL);
	two = add(&b, "two", "2", one);
	three = add(&b, "three", "3", two);
	vec_add(&gone, (char *)(uintptr_t)one);
	vec_add(&gone, (char *)(uintptr_t)two);
	vec_add(&gone, (char *)(uintptr_t)three);
	CHECK_INT(verify(&b, true, &rep, &errors), 0);
	CHECK_INT(errors, 0);
	CHECK_INT(rep.n, 0);
	/* a changed file */
	CHECK_INT(fchmodat(b.fd, one + 1, 0644, 0), 0);
	make_file(&b, one + 1, 1);
	CHECK_INT(verify(&b, false, &rep, &errors), 0);
	CHECK_INT(errors, 0);
	CHECK_INT(verify(&b, true, &rep, &errors), 0);
	CHECK_INT(errors, 1);
	CHECK(strstr(rep.last, "was modified") != NULL);
	/* a missing file that others need, and one that nothing needs */
	CHECK_INT(unlinkat(b.fd, two + 1, 0), 0);
	CHECK_INT(verify(&b, false, &rep, &errors), 0);
	CHECK_INT(errors, 1);
	CHECK(valid(&b, two));
	CHECK_INT(local_forget_missing(b.l, &gone, report, &rep, &removed, &b.e), 0);
	CHECK_INT(removed, 0);
	CHECK_INT(unlinkat(b.fd, three + 1, 0), 0);
	CHECK_INT(verify(&b, false, &rep, &errors), 0);
	CHECK_INT(errors, 2);
	CHECK(valid(&b, two) && valid(&b, three)); /* told, not cleaned away */
	CHECK_INT(local_forget_missing(b.l, &gone, report, &rep, &removed, &b.e), 0);
	CHECK_INT(removed, 2);
	CHECK_INT(verify(&b, false, &rep, &errors), 0);
	CHECK_INT(errors, 0);
	CHECK(!valid(&b, two) && !valid(&b, three) && valid(&b, one));
	/* a store that is not mounted has not lost everything */
	add(&b, "two", "2", one);
	CHECK_INT(local_flush(b.l, &b.e), 0);
	CHECK_INT(unlinkat(b.fd, one + 1, 0), 0);
	CHECK_INT(unlinkat(b.fd, two + 1, 0), 0);
	CHECK_INT(local_forget_missing(b.l, &gone, report, &rep, &removed, &b.e), -ERR_INVALID);
	CHECK(valid(&b, one) && valid(&b, two));
	vec_done(&gone);
	end(&b);
}

static int collect(struct bench *b, enum store_gc action, const char *const *paths, size_t n,
		   struct vec *ret)
{
	struct gc_request req = {
		.action = action, .paths = paths, .npaths = n, .max_freed = UINT64_MAX
	};
	uint64_t bytes;

	ret->n = 0;
	return gc_run(b->l, &b->a, &req, ret, &bytes, &b->e);
}

/* A store that was closed and opened again, so that temporary roots are gone. */
static void reopen(struct bench *b)
{
	local_close(b->l);
	b->l = NULL;
	CHECK(open_bench(b));
}

TEST(what_is_collected_meanwhile_is_no_fault)
{
	struct bench b;
	uint64_t errors = 9;
	char *path = NULL;

	if (!begin(&b))
		return;
	CHECK_INT(mkdirat(b.fd, "t", 0755), 0);
	make_file(&b, "t/1", 1 << 20);
	make_file(&b, "t/2", 10);
	make_nar(&b, "t", "t.nar");
	CHECK_INT(local_add_nar(b.l, &b.a, "t", true, DIGEST_SHA256, file_source(&b, "t.nar"),
				&path, &b.e),
		  0);
	CHECK_INT(local_flush(b.l, &b.e), 0);
	collected.l = b.l;
	collected.path = path;
	collected.file = arena_fmt(&b.a, "%s%s", b.dir, path);
	CHECK_INT(verify(&b, true, NULL, &errors), 0);
	CHECK_INT(errors, 0);
	CHECK(!collected.l && !exists(&b, path));
	end(&b);
}

TEST(collects_what_no_root_reaches)
{
	struct bench b;
	const char *one, *two, *three, *lone;
	auto_vec struct vec paths = VEC_INIT, roots = VEC_INIT;
	char *link;

	if (!begin(&b))
		return;
	one = add(&b, "one", "1", NULL);
	two = add(&b, "two", "2", one);
	three = add(&b, "three", "3", two);
	lone = add(&b, "lone", "l", NULL);
	/* temporary roots hold everything while we live */
	CHECK_INT(collect(&b, STORE_GC_DEAD, NULL, 0, &paths), 0);
	CHECK_INT(paths.n, 0);
	reopen(&b);
	link = arena_fmt(&b.a, "%s/link", b.dir);
	CHECK_INT(symlinkat(two, b.fd, "link"), 0);
	CHECK_INT(roots_add_indirect(b.l, link, -1, -1, &b.e), 0);
	CHECK_INT(symlinkat("/nowhere", b.fd, "var/guix/gcroots/auto/stale"), 0);
	CHECK_INT(roots_find(b.l, true, &b.a, &roots, &b.e), 0);
	CHECK_INT(roots.n, 1);
	if (roots.n == 1) {
		CHECK_STR(((struct root *)roots.v[0])->link, link);
		CHECK_STR(((struct root *)roots.v[0])->target, two);
	}
	CHECK(faccessat(b.fd, "var/guix/gcroots/auto/stale", F_OK, AT_SYMLINK_NOFOLLOW) < 0);
	CHECK_INT(collect(&b, STORE_GC_LIVE, NULL, 0, &paths), 0);
	CHECK_INT(paths.n, 2);
	CHECK_INT(collect(&b, STORE_GC_DEAD, NULL, 0, &paths), 0);
	CHECK_INT(paths.n, 2);
	CHECK_INT(collect(&b, STORE_GC_DELETE_THESE, &one, 1, &paths), -ERR_IN_USE);
	CHECK_INT(collect(&b, STORE_GC_DELETE_THESE, &three, 1, &paths), 0);
	CHECK(paths.n == 1 && !strcmp(paths.v[0], three));
	CHECK(!valid(&b, three) && !exists(&b, three) && valid(&b, lone));
	/* rubbish of all kinds */
	make_file(&b, "gnu/store/rubbish", 3);
	make_file(&b, arena_fmt(&b.a, "%s.lock", one + 1), 0);
	CHECK_INT(mkdirat(b.fd, "gnu/store/.tmp-dir-1-00000000", 0500), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, NULL, 0, &paths), 0);
	CHECK(paths.n == 1 && !strcmp(paths.v[0], lone));
	CHECK(valid(&b, one) && valid(&b, two) && !valid(&b, lone) && !exists(&b, lone));
	CHECK_INT(entries(&b, "/gnu/store"), 3); /* one, two, .links */
	CHECK_INT(unlinkat(b.fd, "link", 0), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, NULL, 0, &paths), 0);
	CHECK_INT(paths.n, 2);
	CHECK_INT(entries(&b, "/gnu/store"), 1);
	end(&b);
}

/* A directory below fd with a name as long as may be; -1 on errors. */
static int long_dir(int fd)
{
	char name[NAME_MAX + 1];

	memset(name, 'a', NAME_MAX);
	name[NAME_MAX] = 0;
	if (mkdirat(fd, name, 0755) < 0)
		return -1;
	return openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* What cannot be read must not pass for a directory without roots, nor hide other roots. */
TEST(no_root_is_overlooked)
{
	struct bench b;
	auto_vec struct vec roots = VEC_INIT;
	struct rlimit old, few;
	const char *one;
	int fd;

	if (!begin(&b))
		return;
	one = add(&b, "one", "1", NULL);
	CHECK_INT(symlinkat(one, b.fd, "var/guix/gcroots/b"), 0);
	fd = openat(b.fd, "var/guix/gcroots", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; fd >= 0 && i < PATH_MAX / NAME_MAX + 2; i++) {
		int next = long_dir(fd);

		fd_close(&fd);
		fd = next;
	}
	CHECK(fd >= 0);
	CHECK_INT(roots_find(b.l, false, &b.a, &roots, &b.e), 0);
	CHECK_INT(roots.n, 1);
	/* No descriptor is free: fd has the highest number. */
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ (rlim_t)fd + 1, old.rlim_max };
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	CHECK_INT(roots_find(b.l, false, &b.a, &roots, &b.e), -EMFILE);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &old), 0);
	fd_close(&fd);
	end(&b);
}

/* A power cut must not bring back the row of an item whose files are gone. */
TEST(rows_go_from_the_disk_before_files)
{
	struct bench b;
	struct local_opts opts = { .root = b.dir };
	auto_vec struct vec paths = VEC_INIT;
	const char *one;

	if (!begin(&b))
		return;
	one = add(&b, "one", "1", NULL);
	local_close(b.l);
	CHECK_INT(local_open(&opts, &b.l, &b.e), 0);
	before.file = arena_fmt(&b.a, "%s%s", b.dir, one);
	before.synced = false;
	CHECK_INT(collect(&b, STORE_GC_DELETE, NULL, 0, &paths), 0);
	CHECK(paths.n == 1 && !exists(&b, one));
	CHECK(before.synced);
	before.file = NULL;
	end(&b);
}

TEST(work_of_others_is_left_alone)
{
	struct bench b;
	struct local_opts opts = { .root = b.dir };
	struct local *other = NULL;
	const char *path = "/gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-a";
	auto_vec struct vec paths = VEC_INIT;
	int tmp = -1;

	if (!begin(&b))
		return;
	CHECK(!valid(&b, path));
	CHECK_INT(local_open(&opts, &other, &b.e), 0);
	CHECK_INT(local_temp_root(other, path, &b.e), 0);
	CHECK_INT(local_tmp_dir(other, &tmp, &b.e), 0);
	make_file(&b, path + 1, 3);
	make_file(&b, arena_fmt(&b.a, "%s.lock", path + 1), 0);
	CHECK_INT(collect(&b, STORE_GC_DELETE, NULL, 0, &paths), 0);
	CHECK(exists(&b, path));
	CHECK_INT(collect(&b, STORE_GC_DELETE_THESE, &path, 1, &paths), -ERR_IN_USE);
	CHECK(exists(&b, path));
	CHECK_INT(entries(&b, "/gnu/store"), 4); /* item, lock, its directory, .links */
	local_close(other);
	CHECK_INT(collect(&b, STORE_GC_DELETE_THESE, &path, 1, &paths), 0);
	CHECK(!exists(&b, path));
	CHECK_INT(collect(&b, STORE_GC_DELETE, NULL, 0, &paths), 0);
	CHECK_INT(entries(&b, "/gnu/store"), 1);
	end(&b);
}

TEST_MAIN(texts_and_references, invalid_references_are_refused, derivations_are_checked,
	  archives_and_links, known_items_must_match, cycles_are_refused, locks,
	  a_forked_child_works_alone, sp_02_a_store_that_is_a_link,
	  image_databases_are_reproducible, json, faults_are_found, collects_what_no_root_reaches,
	  no_root_is_overlooked, rows_go_from_the_disk_before_files, work_of_others_is_left_alone,
	  what_is_collected_meanwhile_is_no_fault)
