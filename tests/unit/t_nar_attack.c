/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Archives and packages that mean harm, by the names of their attacks (tests/attacks). */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/format/canon.h"
#include "store/build/copytree.h"
#include "store/limits.h"
#include "store/format/nar.h"
#include "store/local/scan.h"
#include "store/build/unpack.h"
#include "tests/unit/narmem.h"
#include "tests/unit/test.h"

/* A directory of the test with a file that nothing may touch. */
struct place {
	char dir[256];
	int fd;
	struct stat canary;
};

static bool begin(struct place *p)
{
	/* In memory if possible: thousands of directories are made. */
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMP");
	int fd;

	snprintf(p->dir, sizeof(p->dir), "%.200s/t_nar_attack.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	p->fd = mkdtemp(p->dir) ? open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	fd = openat(p->fd, "canary", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0 || write(fd, "bird\n", 5) != 5 || fstat(fd, &p->canary) < 0)
		TEST_FAIL("%s: no canary", p->dir);
	fd_close(&fd);
	return test_failures == 0;
}

static void check_canary(struct place *p)
{
	struct stat st = { .st_ino = 0 };

	CHECK_INT(fstatat(p->fd, "canary", &st, AT_SYMLINK_NOFOLLOW), 0);
	CHECK(st.st_ino == p->canary.st_ino && st.st_mode == p->canary.st_mode &&
	      st.st_size == p->canary.st_size && st.st_nlink == 1 &&
	      st.st_mtim.tv_sec == p->canary.st_mtim.tv_sec &&
	      st.st_mtim.tv_nsec == p->canary.st_mtim.tv_nsec);
}

static void end(struct place *p)
{
	check_canary(p);
	fd_close(&p->fd);
	CHECK_INT(file_delete_tree(AT_FDCWD, p->dir, NULL, NULL), 0);
}

static bool exists(struct place *p, const char *name)
{
	return faccessat(p->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(struct place *p, const char *name, struct slice bytes)
{
	auto_fd int fd = openat(p->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK_INT(fd_write_full(fd, bytes.p, bytes.n), 0);
}

/* ---- Archives in memory ---------------------------------------------------------------------- */

static int restore(struct place *p, const struct str *nar, struct err *e)
{
	struct mem_source s = { { mem_read }, str_slice(nar) };
	int r = nar_restore_canonical(&s.source, p->fd, "r", e);

	return r == 0 && s.left.n ? 1 : r;
}

/* An archive of words ends with want, and leaves nothing when it is refused. */
static void check_words(const char *what, int want, const char *const *words)
{
	auto_str struct str nar = STR_INIT;
	struct err e = ERR_INIT;
	struct place p;
	int r;

	if (!begin(&p))
		return;
	add_words(&nar, words);
	r = restore(&p, &nar, &e);
	if (r != want)
		TEST_FAIL("%s: %d, expected %d: %s", what, r, want, e.msg);
	if (r < 0 && exists(&p, "r"))
		TEST_FAIL("%s: something is left", what);
	end(&p);
}
#define REFUSED(what, ...)                                                                         \
	check_words(what, -ERR_SYNTAX, (const char *const[]){ MAGIC, __VA_ARGS__, NULL })
#define TAKEN(what, ...) check_words(what, 0, (const char *const[]){ MAGIC, __VA_ARGS__, NULL })

TEST(nar_02_descending_by_a_link)
{
	TAKEN("a link and a directory",
	      DIR_OF(ENTRY("a", LINK_TO("..")), ENTRY("b", DIR_OF(ENTRY("x", FILE_OF("x"))))));
	REFUSED("a link that becomes a directory",
		DIR_OF(ENTRY("a", LINK_TO("..")),
		       ENTRY("a", DIR_OF(ENTRY("canary", FILE_OF("x"))))));
	REFUSED("a name that descends by it",
		DIR_OF(ENTRY("a", LINK_TO("..")), ENTRY("a/canary", FILE_OF("x"))));
	REFUSED("two nodes of one entry", DIR_OF("entry", "(", "name", "a", "node", LINK_TO(".."),
						 "node", FILE_OF("x"), ")"));
	REFUSED("a way up", DIR_OF(ENTRY("..", FILE_OF("x"))));
	REFUSED("a whole path", DIR_OF(ENTRY("/canary", FILE_OF("x"))));
}

TEST(nar_03_doubles_and_order)
{
	TAKEN("in order", DIR_OF(ENTRY("a", FILE_OF("x")), ENTRY("b", FILE_OF("x"))));
	TAKEN("in the order of bytes",
	      DIR_OF(ENTRY("B", FILE_OF("x")), ENTRY("a", FILE_OF("x")), ENTRY("a-", FILE_OF("x")),
		     ENTRY("\xc3", FILE_OF("x"))));
	REFUSED("two files", DIR_OF(ENTRY("a", FILE_OF("x")), ENTRY("a", FILE_OF("x"))));
	REFUSED("file and directory", DIR_OF(ENTRY("a", FILE_OF("x")), ENTRY("a", EMPTY_DIR)));
	REFUSED("file and link", DIR_OF(ENTRY("a", FILE_OF("x")), ENTRY("a", LINK_TO("x"))));
	REFUSED("two directories", DIR_OF(ENTRY("a", EMPTY_DIR), ENTRY("a", EMPTY_DIR)));
	REFUSED("wrong order", DIR_OF(ENTRY("b", FILE_OF("x")), ENTRY("a", FILE_OF("x"))));
	REFUSED("signed order", DIR_OF(ENTRY("\xc3", FILE_OF("x")), ENTRY("a", FILE_OF("x"))));
	REFUSED("the order of words", DIR_OF(ENTRY("a", FILE_OF("x")), ENTRY("B", FILE_OF("x"))));
	REFUSED("the first again after another",
		DIR_OF(ENTRY("a", FILE_OF("x")), ENTRY("b", EMPTY_DIR), ENTRY("a", FILE_OF("x"))));
}

/* Directories in directories below p, the innermost holding a file. */
static void make_deep(struct place *p, const char *name, unsigned depth)
{
	int at = p->fd;

	for (unsigned i = 0; i < depth; i++) {
		const char *n = i ? "d" : name;
		int next;

		CHECK_INT(mkdirat(at, n, 0755), 0);
		next = openat(at, n, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (at != p->fd)
			close(at);
		at = next;
	}
	CHECK_INT(symlinkat("x", at, "end"), 0);
	close(at);
}

static int null_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	(void)sink, (void)p, (void)n, (void)e;
	return 0;
}

/* What each walker says of a tree of that depth; deleting must always work. */
static void walk_all(unsigned depth, int want)
{
	static const char *const none[] = { "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-a" };
	struct nar_sink sink = { null_write };
	struct canon c = CANON_INIT;
	struct err e = ERR_INIT;
	struct digest d;
	struct scan *s = NULL;
	struct place p;
	uint64_t size;

	if (!begin(&p))
		return;
	make_deep(&p, "deep", depth);
	CHECK_INT(nar_dump(p.fd, "deep", NULL, NULL, &sink, &e), want);
	CHECK_INT(nar_hash(p.fd, "deep", DIGEST_SHA256, NULL, NULL, &d, &size, &e), want);
	CHECK_INT(scan_new("/gnu/store", none, 1, &s, &e), 0);
	CHECK_INT(scan_tree(s, p.fd, "deep", &d, &size, &e), want);
	CHECK_INT(copytree(p.fd, "deep", p.fd, "copy", &e), want);
	CHECK_INT(canon_tree(&c, p.fd, "deep", &e), want);
	CHECK(want == 0 || strstr(e.msg, "nested deeper than"));
	CHECK_INT(file_delete_tree(p.fd, "deep", NULL, &e), 0);
	CHECK_INT(file_delete_tree(p.fd, "copy", NULL, &e), 0);
	CHECK(!exists(&p, "deep") && !exists(&p, "copy"));
	scan_free(s);
	canon_done(&c);
	end(&p);
}

TEST(nar_04_depth)
{
	auto_str struct str nar = STR_INIT;
	struct err e = ERR_INIT;
	struct place p;

	if (!begin(&p))
		return;
	WORDS(&nar, MAGIC);
	for (int i = 0; i < 100000; i++)
		WORDS(&nar, "(", "type", "directory", "entry", "(", "name", "d", "node");
	CHECK_INT(restore(&p, &nar, &e), -ERR_LIMIT);
	CHECK(!exists(&p, "r"));
	end(&p);
	walk_all(LIMIT_NAR_DEPTH - 2, 0);
	walk_all(LIMIT_NAR_DEPTH + 50, -ERR_LIMIT);
}

TEST(nar_06_absurd_sizes)
{
	static const uint64_t sizes[] = { UINT64_MAX, UINT64_MAX - 7, 1ull << 63, (1ull << 63) - 1,
					  1ull << 50 };
	struct rlimit old, low = { 64 << 20, 64 << 20 };

	CHECK_INT(getrlimit(RLIMIT_FSIZE, &old), 0);
	low.rlim_max = old.rlim_max;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		auto_str struct str nar = STR_INIT;
		struct err e = ERR_INIT;
		struct place p;

		if (!begin(&p))
			return;
		WORDS(&nar, MAGIC, "(", "type", "regular", "contents");
		wr_u64(&nar, sizes[i]);
		str_addn(&nar, "abc", 3);
		/* Space is not set aside for what was only announced: this would be a signal. */
		CHECK_INT(setrlimit(RLIMIT_FSIZE, &low), 0);
		CHECK_INT(restore(&p, &nar, &e), -ERR_SYNTAX);
		CHECK_INT(setrlimit(RLIMIT_FSIZE, &old), 0);
		CHECK(strstr(e.msg, "ends early") != NULL);
		CHECK(!exists(&p, "r"));
		end(&p);
	}
}

TEST(nar_07_one_spelling)
{
	TAKEN("a program", "(", "type", "regular", "executable", "", "contents", "x", ")");
	REFUSED("type twice", "(", "type", "regular", "type", "regular", "contents", "x", ")");
	REFUSED("contents twice", "(", "type", "regular", "contents", "x", "contents", "x", ")");
	REFUSED("executable afterwards", "(", "type", "regular", "contents", "x", "executable", "",
		")");
	REFUSED("executable twice", "(", "type", "regular", "executable", "", "executable", "",
		"contents", "x", ")");
	REFUSED("two targets", "(", "type", "symlink", "target", "a", "target", "b", ")");
	REFUSED("no target", "(", "type", "symlink", ")");
	REFUSED("a target of a file", "(", "type", "regular", "target", "a", ")");
	REFUSED("contents of a link", "(", "type", "symlink", "contents", "a", ")");
	REFUSED("the name after the node",
		DIR_OF("entry", "(", "node", FILE_OF("x"), "name", "a", ")"));
	REFUSED("the name again",
		DIR_OF("entry", "(", "name", "a", "name", "b", "node", FILE_OF("x"), ")"));
	REFUSED("no node", DIR_OF("entry", "(", "name", "a", ")"));
	REFUSED("no name", DIR_OF("entry", "(", "node", FILE_OF("x"), ")"));
	REFUSED("no type", "(", "contents", "x", ")");
	REFUSED("two roots in one", "(", FILE_OF("x"), ")");
}

/* Each byte of padding set in turn, and the archive cut in each of them. */
TEST(nar_08_padding)
{
	for (unsigned n = 1; n < 8; n++) {
		for (unsigned k = n; k < 8; k++) {
			auto_str struct str nar = STR_INIT, cut = STR_INIT;
			struct err e = ERR_INIT;
			struct place p;
			size_t at;

			if (!begin(&p))
				return;
			WORDS(&nar, MAGIC, "(", "type", "regular", "contents");
			at = nar.len + 8;
			wr_str(&nar, (struct slice){ "1234567", n });
			WORDS(&nar, ")");
			CHECK_INT(restore(&p, &nar, &e), 0);
			CHECK_INT(unlinkat(p.fd, "r", 0), 0);
			str_addn(&cut, nar.buf, at + k);
			CHECK_INT(restore(&p, &cut, &e), -ERR_SYNTAX);
			nar.buf[at + k] = 1;
			CHECK_INT(restore(&p, &nar, &e), -ERR_SYNTAX);
			CHECK(strstr(e.msg, "padding") != NULL && !exists(&p, "r"));
			end(&p);
		}
	}
}

/* An archive of one directory with very many empty files, made while it is read. */
struct endless {
	struct nar_source source;
	struct str text; /* what comes next, from used on */
	size_t used;
	unsigned next, n; /* files told, files in all */
	bool ended;
};

static void make_more(struct endless *m)
{
	char name[16];

	str_cut(&m->text, 0);
	m->used = 0;
	if (m->next == 0)
		WORDS(&m->text, MAGIC, "(", "type", "directory");
	if (m->next == m->n) {
		WORDS(&m->text, ")");
		m->ended = true;
		return;
	}
	snprintf(name, sizeof(name), "%08u", m->next++);
	WORDS(&m->text, ENTRY(name, FILE_OF("")));
}

static int endless_read(struct nar_source *source, void *p, size_t n, struct err *e)
{
	struct endless *m = CONTAINER_OF(source, struct endless, source);

	for (char *to = p; n;) {
		size_t part = MIN_OF(n, m->text.len - m->used);

		memcpy(to, m->text.buf + m->used, part);
		m->used += part;
		to += part;
		n -= part;
		if (n && m->ended)
			return err_set(e, -ERR_SYNTAX, "the archive ends early");
		if (n)
			make_more(m);
	}
	return 0;
}

static int count_entry(void *arg, const struct nar_entry *n, struct err *e)
{
	(void)e;
	*(unsigned *)arg += n->type == NAR_FILE;
	return 0;
}

static long peak_kib(void)
{
	struct rusage u;

	return getrusage(RUSAGE_SELF, &u) < 0 ? -1 : u.ru_maxrss;
}

/* In a process of its own, of which the peak is only what this needs. */
static void read_many(struct place *p)
{
	struct endless m = { { endless_read }, STR_INIT, 0, 0, 40000, false };
	struct endless more = { { endless_read }, STR_INIT, 0, 0, 500000, false };
	struct err e = ERR_INIT;
	unsigned count = 0;
	long before = peak_kib();

	CHECK_INT(nar_restore_canonical(&m.source, p->fd, "r", &e), 0);
	CHECK(m.ended && faccessat(p->fd, "r/00039999", F_OK, 0) == 0);
	CHECK_INT(nar_list(&more.source, count_entry, &count, &e), 0);
	CHECK_INT(count, 500000);
	/* The buffer of 256 KiB, and what the C library has around it; names alone would be 5 MB.
	 * The sanitizer keeps what was freed. */
	if (!SANITIZED && (before <= 0 || peak_kib() > before + 1024))
		TEST_FAIL("%ld KiB have become %ld", before, peak_kib());
	str_done(&m.text);
	str_done(&more.text);
}

/* On a file system of 1,000 inodes. */
static void fill_up(struct place *p)
{
	struct endless m = { { endless_read }, STR_INIT, 0, 0, 100000, false };
	struct endless less = { { endless_read }, STR_INIT, 0, 0, 900, false };
	struct err e = ERR_INIT;

	CHECK_INT(nar_restore_canonical(&m.source, p->fd, "r", &e), -ENOSPC);
	CHECK(strstr(e.msg, "create '00000") && strstr(e.msg, strerror(ENOSPC)));
	CHECK(!exists(p, "r") && m.next < 1000);
	CHECK_INT(nar_restore_canonical(&less.source, p->fd, "r", &e), 0);
	str_done(&m.text);
	str_done(&less.text);
}

/* How many checks failed in run, which gets a process of its own and, with inodes, a small file
 * system where it works. 77: that cannot be had here. */
static int apart(struct place *p, bool inodes, void (*run)(struct place *p))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		test_failures = 0;
		if (inodes && (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) < 0 ||
			       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			       mount("none", p->dir, "tmpfs", 0, "nr_inodes=1000") < 0))
			_exit(77);
		if (inodes)
			p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		run(p);
		fflush(stdout);
		_exit(test_failures > 0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
									       : -1;
}

TEST(nar_10_inodes_without_end)
{
	struct place p;
	int r;

	if (!begin(&p))
		return;
	CHECK_INT(apart(&p, false, read_many), 0);
	r = apart(&p, true, fill_up);
	if (r == 77)
		printf("# no file system of one's own can be mounted here\n");
	else
		CHECK_INT(r, 0);
	end(&p);
}

TEST(nar_11_targets)
{
	static char long_target[LIMIT_NAR_TARGET + 2];
	auto_str struct str nar = STR_INIT;
	struct err e = ERR_INIT;
	struct place p;

	TAKEN("the root", LINK_TO("/"));
	TAKEN("a line end", LINK_TO("a\nb"));
	REFUSED("nothing", LINK_TO(""));
	memset(long_target, 't', LIMIT_NAR_TARGET);
	TAKEN("the longest", LINK_TO(long_target));
	long_target[LIMIT_NAR_TARGET] = 't';
	check_words("a longer one", -ERR_LIMIT,
		    (const char *const[]){ MAGIC, LINK_TO(long_target), NULL });
	if (!begin(&p))
		return;
	WORDS(&nar, MAGIC, "(", "type", "symlink", "target");
	wr_str(&nar, (struct slice){ "a\0b", 3 });
	WORDS(&nar, ")");
	CHECK_INT(restore(&p, &nar, &e), -ERR_SYNTAX);
	CHECK(!exists(&p, "r"));
	end(&p);
}

/* Bytes of names are kept as they are. */
TEST(nar_12_odd_names)
{
	static const char *const names[] = { "\x01\x1b[31m", "-rf", "A", "a", "\xff\xfe" };
	static char long_name[LIMIT_NAR_NAME + 2];
	auto_str struct str nar = STR_INIT;
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec found = VEC_INIT;
	struct err e = ERR_INIT;
	struct place p;

	memset(long_name, 'n', LIMIT_NAR_NAME);
	TAKEN("the longest name", DIR_OF(ENTRY(long_name, EMPTY_DIR)));
	long_name[LIMIT_NAR_NAME] = 'n';
	check_words("a longer one", -ERR_LIMIT,
		    (const char *const[]){ MAGIC, DIR_OF(ENTRY(long_name, EMPTY_DIR)), NULL });
	if (!begin(&p))
		return;
	WORDS(&nar, MAGIC, "(", "type", "directory");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		WORDS(&nar, ENTRY(names[i], FILE_OF("x")));
	WORDS(&nar, ")");
	CHECK_INT(restore(&p, &nar, &e), 0);
	auto_fd int fd = openat(p.fd, "r", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(nar_list_dir(&a, fd, &found), 0);
	CHECK_INT(found.n, ARRAY_LEN(names));
	for (size_t i = 0; i < found.n && i < ARRAY_LEN(names); i++)
		CHECK_STR((const char *)found.v[i], names[i]);
	end(&p);
}

TEST(nar_14_a_link_at_the_top)
{
	static const struct timespec late[2] = { { .tv_sec = 99 }, { .tv_sec = 99 } };
	auto_str struct str nar = STR_INIT, target = STR_INIT;
	struct canon c = CANON_INIT;
	struct err e = ERR_INIT;
	struct stat st;
	struct place p;

	if (!begin(&p))
		return;
	WORDS(&nar, MAGIC, LINK_TO("canary"));
	CHECK_INT(restore(&p, &nar, &e), 0);
	CHECK_INT(utimensat(p.fd, "r", late, AT_SYMLINK_NOFOLLOW), 0);
	c.uid = geteuid();
	c.gid = getegid();
	CHECK_INT(canon_tree(&c, p.fd, "r", &e), 0);
	CHECK_INT(file_readlink(p.fd, "r", &target, &e), 0);
	CHECK_STR(target.buf, "canary");
	CHECK(fstatat(p.fd, "r", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mtim.tv_sec == 1);
	check_canary(&p);
	CHECK_INT(file_delete_tree(p.fd, "r", NULL, &e), 0);
	CHECK(!exists(&p, "r"));
	canon_done(&c);
	end(&p);
}

static void check_planted(struct place *p, const char *what, const struct str *nar)
{
	struct err e = ERR_INIT;
	struct stat before, after;
	int r;

	CHECK_INT(fstatat(p->fd, "r", &before, AT_SYMLINK_NOFOLLOW), 0);
	r = restore(p, nar, &e);
	if (r != -EEXIST)
		TEST_FAIL("%s: %d: %s", what, r, e.msg);
	CHECK(fstatat(p->fd, "r", &after, AT_SYMLINK_NOFOLLOW) == 0 &&
	      after.st_ino == before.st_ino && after.st_mode == before.st_mode);
	check_canary(p);
}

TEST(nar_15_what_lies_there_already)
{
	struct str nars[3] = { STR_INIT, STR_INIT, STR_INIT };
	struct place p;

	WORDS(&nars[0], MAGIC, FILE_OF("x"));
	WORDS(&nars[1], MAGIC, DIR_OF(ENTRY("canary", FILE_OF("x"))));
	WORDS(&nars[2], MAGIC, LINK_TO("x"));
	for (size_t i = 0; i < ARRAY_LEN(nars) && begin(&p); i++) {
		CHECK_INT(symlinkat("canary", p.fd, "r"), 0);
		check_planted(&p, "a link to a file", &nars[i]);
		CHECK_INT(unlinkat(p.fd, "r", 0), 0);
		CHECK_INT(symlinkat(".", p.fd, "r"), 0);
		check_planted(&p, "a link to a directory", &nars[i]);
		CHECK_INT(unlinkat(p.fd, "r", 0), 0);
		CHECK_INT(symlinkat("none", p.fd, "r"), 0);
		check_planted(&p, "a link to nothing", &nars[i]);
		CHECK(!exists(&p, "none"));
		CHECK_INT(unlinkat(p.fd, "r", 0), 0);
		CHECK_INT(mkdirat(p.fd, "r", 0755), 0);
		check_planted(&p, "a directory", &nars[i]);
		CHECK_INT(unlinkat(p.fd, "r", AT_REMOVEDIR), 0);
		put(&p, "r", SLICE("there"));
		check_planted(&p, "a file", &nars[i]);
		end(&p);
	}
	for (size_t i = 0; i < ARRAY_LEN(nars); i++)
		str_done(&nars[i]);
}

/* ---- Unpacking downloads --------------------------------------------------------------------- */

static int unpack(struct place *p, const struct str *nar, struct err *e)
{
	put(p, "archive", str_slice(nar));
	return unpack_nar(p->fd, "archive", false, "r", e);
}

TEST(nar_16_downloaded_archives)
{
	auto_str struct str up = STR_INIT, down = STR_INIT, good = STR_INIT;
	struct err e = ERR_INIT;
	struct place p;

	if (!begin(&p))
		return;
	WORDS(&up, MAGIC, DIR_OF(ENTRY("../canary", FILE_OF("x"))));
	WORDS(&down, MAGIC,
	      DIR_OF(ENTRY("a", LINK_TO("..")), ENTRY("a", DIR_OF(ENTRY("canary", FILE_OF("x"))))));
	WORDS(&good, MAGIC, FILE_OF("x"));
	CHECK_INT(unpack(&p, &up, &e), -ERR_SYNTAX);
	CHECK_INT(unpack(&p, &down, &e), -ERR_SYNTAX);
	CHECK(!exists(&p, "r"));
	CHECK_INT(symlinkat("canary", p.fd, "r"), 0);
	CHECK_INT(unpack(&p, &good, &e), -EEXIST);
	CHECK_INT(unlinkat(p.fd, "archive", 0), 0);
	CHECK_INT(symlinkat("canary", p.fd, "archive"), 0);
	CHECK_INT(unpack_nar(p.fd, "archive", false, "r2", &e), -ELOOP);
	end(&p);
}

/* One member of a tar file, after the old format. */
static void add_tar(struct str *out, const char *name, char type, const char *target, unsigned mode,
		    const char *contents)
{
	char head[512] = { 0 }, pad[512] = { 0 };
	size_t n = strlen(contents);
	unsigned sum = 0;

	snprintf(head, 100, "%s", name);
	snprintf(head + 100, 8, "%07o", mode);
	snprintf(head + 108, 8, "%07o", 0);
	snprintf(head + 116, 8, "%07o", 0);
	snprintf(head + 124, 12, "%011o", (unsigned)n);
	snprintf(head + 136, 12, "%011o", 0);
	memset(head + 148, ' ', 8);
	head[156] = type;
	snprintf(head + 157, 100, "%s", target);
	memcpy(head + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(head); i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	str_addn(out, head, sizeof(head));
	str_addn(out, contents, n);
	str_addn(out, pad, n % 512 ? 512 - n % 512 : 0);
}

static int unpack_member(struct place *p, const struct str *tar, const char *member, struct err *e)
{
	auto_str struct str deb = STR_INIT;
	char end[1024] = { 0 };
	auto_fd int fd = -1;

	str_addf(&deb, "!<arch>\n%-16s%-12d%-6d%-6d%-8s%-10zu`\n", "data.tar", 0, 0, 0, "100644",
		 tar->len + sizeof(end));
	str_adds(&deb, str_slice(tar));
	str_addn(&deb, end, sizeof(end));
	put(p, "deb", str_slice(&deb));
	fd = openat(p->fd, "deb", O_RDONLY | O_CLOEXEC);
	return unpack_deb_member(fd, member, p->fd, "r", 0755, e);
}

TEST(nar_16_members_of_packages)
{
	static const struct {
		char type;
		const char *target;
		int want;
	} rows[] = {
		{ '0', "", 0 },
		{ '1', "canary", -ERR_INVALID },
		{ '2', "../canary", -ERR_INVALID },
		{ '3', "", -ERR_INVALID },
		{ '4', "", -ERR_INVALID },
		{ '5', "", -ERR_INVALID },
		{ '6', "", -ERR_INVALID },
	};
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_str struct str tar = STR_INIT;
		struct err e = ERR_INIT;
		struct place p;
		int r;

		if (!begin(&p))
			return;
		add_tar(&tar, "../canary", '0', "", 0644, "evil");
		add_tar(&tar, "./usr", '2', "..", 0777, "");
		add_tar(&tar, "./usr/bin/x", rows[i].type, rows[i].target, 06755,
			rows[i].type == '0' ? "x" : "");
		r = unpack_member(&p, &tar, "usr/bin/x", &e);
		if (r != rows[i].want)
			TEST_FAIL("type %c: %d: %s", rows[i].type, r, e.msg);
		CHECK_INT(fstatat(p.fd, "r", &st, AT_SYMLINK_NOFOLLOW), r ? -1 : 0);
		/* of the modes that a package names none counts */
		CHECK(r || (S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0755));
		CHECK(!exists(&p, "usr"));
		end(&p);
	}
}

TEST_MAIN(nar_02_descending_by_a_link, nar_03_doubles_and_order, nar_04_depth, nar_06_absurd_sizes,
	  nar_07_one_spelling, nar_08_padding, nar_10_inodes_without_end, nar_11_targets,
	  nar_12_odd_names, nar_14_a_link_at_the_top, nar_15_what_lies_there_already,
	  nar_16_downloaded_archives, nar_16_members_of_packages)
