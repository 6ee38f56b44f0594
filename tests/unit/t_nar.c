/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Archives: known bytes, every way to be wrong, reference scanning, canonical metadata. */
#include "store/format/nar.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "store/format/canon.h"
#include "store/local/scan.h"
#include "tests/unit/narmem.h"
#include "tests/unit/test.h"

/* A scratch directory of the test. */
static int scratch(char name[256])
{
	const char *tmp = getenv("TMP");

	snprintf(name, 256, "%.200s/t_nar.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	return mkdtemp(name) ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static void scratch_done(int *fd, const char *name)
{
	fd_close(fd);
	CHECK_INT(file_delete_tree(AT_FDCWD, name, NULL, NULL), 0);
}

static void make_file(int dirfd, const char *name, const char *contents, mode_t mode)
{
	auto_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && fd_write_full(fd, contents, strlen(contents)) == 0);
	CHECK_INT(fchmod(fd, mode), 0);
}

/* The tree whose archive other implementations hashed. */
static void make_tree(int dirfd)
{
	CHECK_INT(mkdirat(dirfd, "t", 0755), 0);
	make_file(dirfd, "t/b.txt", "a", 0644);
	CHECK_INT(symlinkat("b.txt", dirfd, "t/link"), 0);
	make_file(dirfd, "t/run", "#!/bin/sh\n", 0755);
	CHECK_INT(mkdirat(dirfd, "t/sub", 0755), 0);
	make_file(dirfd, "t/sub/eight", "12345678", 0600);
	make_file(dirfd, "t/sub/empty", "", 0644);
}

/* Memory as a sink. */
struct mem_sink {
	struct nar_sink sink;
	struct str bytes;
};

static int mem_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	struct mem_sink *s = CONTAINER_OF(sink, struct mem_sink, sink);

	(void)e;
	str_addn(&s->bytes, p, n);
	return 0;
}

static int restore(struct slice nar, int dirfd, struct err *e)
{
	struct mem_source s = { { mem_read }, nar };
	int r = nar_restore(&s.source, dirfd, "r", e);

	return r == 0 && s.left.n ? 1 : r;
}

TEST(known_bytes)
{
	static const char file_nar[] =
		"\x0d\0\0\0\0\0\0\0nix-archive-1\0\0\0\x01\0\0\0\0\0\0\0(\0\0\0\0\0\0\0"
		"\x04\0\0\0\0\0\0\0type\0\0\0\0\x07\0\0\0\0\0\0\0regular\0"
		"\x08\0\0\0\0\0\0\0contents\x0c\0\0\0\0\0\0\0hello world\n\0\0\0\0"
		"\x01\0\0\0\0\0\0\0)\0\0\0\0\0\0\0";
	struct mem_sink s = { { mem_write }, STR_INIT };
	char dir[256];
	auto_fd int fd = scratch(dir);
	struct err e = ERR_INIT;
	struct digest d;
	uint64_t size = 0;
	char hex[DIGEST_TEXT_MAX];

	make_file(fd, "f", "hello world\n", 0644);
	CHECK_INT(nar_dump(fd, "f", NULL, NULL, &s.sink, &e), 0);
	CHECK_INT(s.bytes.len, 128);
	CHECK_INT(sizeof(file_nar) - 1, 128);
	CHECK(s.bytes.len == 128 && !memcmp(s.bytes.buf, file_nar, 128));
	make_tree(fd);
	CHECK_INT(nar_hash(fd, "t", DIGEST_SHA256, NULL, NULL, &d, &size, &e), 0);
	digest_hex(&d, hex);
	CHECK_STR(hex, "76fe8932c216a686b067262f3941856a167bfd4ecadb2235c3b2a1bffefe00fa");
	CHECK_INT(size, 1256);
	str_done(&s.bytes);
	scratch_done(&fd, dir);
}

TEST(restores_what_was_dumped)
{
	struct mem_sink one = { { mem_write }, STR_INIT }, two = { { mem_write }, STR_INIT };
	char dir[256];
	auto_fd int fd = scratch(dir);
	struct err e = ERR_INIT;
	struct stat st;

	make_tree(fd);
	CHECK_INT(nar_dump(fd, "t", NULL, NULL, &one.sink, &e), 0);
	CHECK_INT(restore(str_slice(&one.bytes), fd, &e), 0);
	CHECK_INT(nar_dump(fd, "r", NULL, NULL, &two.sink, &e), 0);
	CHECK(slice_eq(str_slice(&one.bytes), str_slice(&two.bytes)));
	CHECK(fstatat(fd, "r/run", &st, 0) == 0 && (st.st_mode & 0111));
	CHECK(fstatat(fd, "r/b.txt", &st, 0) == 0 && !(st.st_mode & 0111));
	CHECK_INT(restore(str_slice(&one.bytes), fd, &e), -EEXIST);
	CHECK(fstatat(fd, "r/run", &st, 0) == 0); /* what was there stays */
	str_done(&one.bytes);
	str_done(&two.bytes);
	scratch_done(&fd, dir);
}

/* Cut an archive anywhere: an error, and nothing is left. */
TEST(cut_archives)
{
	struct mem_sink s = { { mem_write }, STR_INIT };
	char dir[256];
	auto_fd int fd = scratch(dir);
	struct err e = ERR_INIT;
	struct stat st;

	make_tree(fd);
	CHECK_INT(nar_dump(fd, "t", NULL, NULL, &s.sink, &e), 0);
	for (size_t n = 0; n < s.bytes.len; n++) {
		if (restore((struct slice){ s.bytes.buf, n }, fd, &e) != -ERR_SYNTAX)
			TEST_FAIL("cut at %zu is accepted", n);
		if (fstatat(fd, "r", &st, AT_SYMLINK_NOFOLLOW) == 0)
			TEST_FAIL("cut at %zu leaves something", n);
	}
	str_done(&s.bytes);
	scratch_done(&fd, dir);
}

/* Change every byte in turn: refused, or the result dumps to exactly the changed bytes. */
TEST(changed_archives)
{
	struct mem_sink s = { { mem_write }, STR_INIT };
	char dir[256];
	auto_fd int fd = scratch(dir);
	struct err e = ERR_INIT;
	size_t accepted = 0;

	make_tree(fd);
	CHECK_INT(nar_dump(fd, "t", NULL, NULL, &s.sink, &e), 0);
	for (size_t i = 0; i < s.bytes.len; i++) {
		struct mem_sink again = { { mem_write }, STR_INIT };

		s.bytes.buf[i] ^= 1;
		if (restore(str_slice(&s.bytes), fd, &e) == 0) {
			accepted++;
			CHECK_INT(nar_dump(fd, "r", NULL, NULL, &again.sink, &e), 0);
			if (!slice_eq(str_slice(&again.bytes), str_slice(&s.bytes)))
				TEST_FAIL("byte %zu changed: the result is another archive", i);
		}
		s.bytes.buf[i] ^= 1;
		CHECK_INT(file_delete_tree(fd, "r", NULL, &e), 0);
		str_done(&again.bytes);
	}
	CHECK(accepted > 10); /* contents, names, targets */
	str_done(&s.bytes);
	scratch_done(&fd, dir);
}

#define M "nix-archive-1"
#define F "(", "type", "regular", "contents", "x", ")"

TEST(wrong_grammar)
{
	static const struct {
		int want;
		const char *words[32]; /* NULL at the end */
	} rows[] = {
#define W(...) { __VA_ARGS__ }
		{ 0, W(M, F) },
		{ -ERR_SYNTAX, W("nix-archive-2", F) },
		{ -ERR_SYNTAX, W("(", "type") },
		{ -ERR_SYNTAX, W(M, "(", "type", "fifo", ")") },
		{ -ERR_SYNTAX, W(M, "(", "type", "regular", ")") },
		{ -ERR_SYNTAX, W(M, "(", "type", "type", "regular", "contents", "x", ")") },
		{ 0, W(M, "(", "type", "regular", "executable", "", "contents", "x", ")") },
		{ -ERR_SYNTAX,
		  W(M, "(", "type", "regular", "executable", "1", "contents", "x", ")") },
		{ -ERR_SYNTAX, W(M, "(", "type", "regular", "executable", "", "executable", "",
				 "contents", "x", ")") },
		{ -ERR_SYNTAX,
		  W(M, "(", "type", "regular", "contents", "x", "executable", "", ")") },
		{ -ERR_SYNTAX,
		  W(M, "(", "type", "regular", "contents", "x", "contents", "x", ")") },
		{ 0, W(M, "(", "type", "symlink", "target", "t", ")") },
		{ -ERR_SYNTAX, W(M, "(", "type", "symlink", "target", "", ")") },
		{ -ERR_SYNTAX, W(M, "(", "type", "symlink", ")") },
		{ 0, W(M, "(", "type", "directory", ")") },
		{ 0,
		  W(M, "(", "type", "directory", "entry", "(", "name", "a", "node", F, ")", ")") },
		{ -ERR_SYNTAX,
		  W(M, "(", "type", "directory", "entry", "(", "name", "", "node", F, ")", ")") },
		{ -ERR_SYNTAX,
		  W(M, "(", "type", "directory", "entry", "(", "name", ".", "node", F, ")", ")") },
		{ -ERR_SYNTAX,
		  W(M, "(", "type", "directory", "entry", "(", "name", "..", "node", F, ")", ")") },
		{ -ERR_SYNTAX, W(M, "(", "type", "directory", "entry", "(", "name", "../x", "node",
				 F, ")", ")") },
		{ -ERR_SYNTAX,
		  W(M, "(", "type", "directory", "entry", "(", "node", F, "name", "a", ")", ")") },
		{ -ERR_SYNTAX, W(M, "(", "type", "directory", "entry", "(", "name", "b", "node", F,
				 ")", "entry", "(", "name", "a", "node", F, ")", ")") },
		{ -ERR_SYNTAX, W(M, "(", "type", "directory", "entry", "(", "name", "a", "node", F,
				 ")", "entry", "(", "name", "a", "node", F, ")", ")") },
		{ 1, W(M, F, "more") }, /* the caller's to refuse */
#undef W
	};
	char dir[256];
	auto_fd int fd = scratch(dir);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_str struct str nar = STR_INIT;
		struct err e = ERR_INIT;
		int r;

		add_words(&nar, rows[i].words);
		r = restore(str_slice(&nar), fd, &e);
		if (r != rows[i].want)
			TEST_FAIL("row %zu: %d, expected %d: %s", i, r, rows[i].want, e.msg);
		CHECK_INT(file_delete_tree(fd, "r", NULL, &e), 0);
	}
	scratch_done(&fd, dir);
}

TEST(limits)
{
	static char long_name[300], long_target[5000];
	char dir[256];
	auto_fd int fd = scratch(dir);
	auto_str struct str deep = STR_INIT, name = STR_INIT, target = STR_INIT, huge = STR_INIT;
	struct err e = ERR_INIT;

	wr_cstr(&deep, M);
	for (int i = 0; i < 2000; i++)
		add_words(&deep, (const char *const[]){ "(", "type", "directory", "entry", "(",
							"name", "d", "node", NULL });
	CHECK_INT(restore(str_slice(&deep), fd, &e), -ERR_LIMIT);
	memset(long_name, 'n', 256);
	add_words(&name, (const char *const[]){ M, "(", "type", "directory", "entry", "(", "name",
						long_name, "node", F, ")", ")", NULL });
	CHECK_INT(restore(str_slice(&name), fd, &e), -ERR_LIMIT);
	memset(long_target, 't', 4096);
	add_words(&target, (const char *const[]){ M, "(", "type", "symlink", "target", long_target,
						  ")", NULL });
	CHECK_INT(restore(str_slice(&target), fd, &e), -ERR_LIMIT);
	wr_cstr(&huge, M);
	wr_u64(&huge, UINT64_MAX);
	CHECK_INT(restore(str_slice(&huge), fd, &e), -ERR_LIMIT);
	CHECK_INT(faccessat(fd, "r", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	scratch_done(&fd, dir);
}

static bool no_sub(void *arg, const char *path, unsigned mode)
{
	(void)arg;
	CHECK(S_ISDIR(mode) == !strcmp(path, "sub"));
	return strcmp(path, "sub") && strcmp(path, "link");
}

TEST(filter_and_odd_types)
{
	char dir[256];
	auto_fd int fd = scratch(dir);
	struct err e = ERR_INIT;
	struct digest with, without;
	uint64_t size;

	make_tree(fd);
	CHECK_INT(nar_hash(fd, "t", DIGEST_SHA256, no_sub, NULL, &with, &size, &e), 0);
	CHECK_INT(unlinkat(fd, "t/link", 0), 0);
	CHECK_INT(file_delete_tree(fd, "t/sub", NULL, &e), 0);
	CHECK_INT(nar_hash(fd, "t", DIGEST_SHA256, NULL, NULL, &without, &size, &e), 0);
	CHECK(digest_eq(&with, &without));
	CHECK_INT(mkfifoat(fd, "t/fifo", 0600), 0);
	CHECK_INT(nar_hash(fd, "t", DIGEST_SHA256, NULL, NULL, &without, &size, &e), -ERR_INVALID);
	CHECK(strstr(e.msg, "fifo") != NULL);
	CHECK_INT(nar_hash(fd, "none", DIGEST_SHA256, NULL, NULL, &without, &size, &e), -ENOENT);
	scratch_done(&fd, dir);
}

#define A "/gnu/store/3qfa38x5ns7r5wn2mjnd2vnrsj1wircv-a"
#define B "/gnu/store/m1cvzn7ryg051prv84z2sjnqpix15p5k-b"
#define C "/gnu/store/7rpc9iicq65crfspfsnpakkl38gd8dx7-c"

static size_t scan_text(const char *const *paths, size_t n, const char *text, size_t piece,
			const char **ret_first)
{
	auto_vec struct vec found = VEC_INIT;
	struct scan *s = NULL;
	size_t len = strlen(text);

	CHECK_INT(scan_new("/gnu/store", paths, n, &s, NULL), 0);
	if (!s)
		return 0;
	for (size_t i = 0; i < len; i += piece)
		scan_add(s, text + i, MIN_OF(piece, len - i));
	scan_found(s, &found);
	if (found.n && ret_first)
		*ret_first = found.v[0];
	scan_free(s);
	return found.n;
}

TEST(finds_references_across_borders)
{
	static const char *const paths[] = { C, B, A, B };
	const char *first = "";

	for (size_t piece = 1; piece < 90; piece++) {
		CHECK_INT(scan_text(paths, 4, "x" A "/bin:3qfa38x5ns7r5wn2mjnd2vnrsj1wirc", piece,
				    &first),
			  1);
		CHECK_STR(first, A);
		/* only the hash part counts, wherever it begins */
		CHECK_INT(scan_text(paths, 4, "00m1cvzn7ryg051prv84z2sjnqpix15p5k", piece, &first),
			  1);
		CHECK_STR(first, B);
		CHECK_INT(scan_text(paths, 4, "m1cvzn7ryg051prv84z2sjnqpix15p5", piece, NULL), 0);
		CHECK_INT(scan_text(paths, 4, "m1cvzn7ryg051prv84e2sjnqpix15p5k", piece, NULL), 0);
		CHECK_INT(scan_text(paths, 4, C "e" B "\n" A, piece, &first), 3);
		CHECK_STR(first, A);
	}
	CHECK_INT(scan_text(NULL, 0, A, 7, NULL), 0);
}

TEST(scan_refuses_ambiguous_candidates)
{
	static const char *const twice[] = { A, A "2" };
	static const char *const none[] = { "/gnu/store/short" };
	struct scan *s = NULL;
	struct err e = ERR_INIT;

	CHECK_INT(scan_new("/gnu/store", twice, 2, &s, &e), -ERR_INVALID);
	CHECK_INT(scan_new("/gnu/store", none, 1, &s, &e), -ERR_INVALID);
	CHECK(!s);
}

TEST(scans_a_tree)
{
	static const char *const paths[] = { A, B };
	char dir[256];
	auto_fd int fd = scratch(dir);
	auto_vec struct vec found = VEC_INIT;
	struct scan *s = NULL;
	struct digest one, two;
	uint64_t size;
	struct err e = ERR_INIT;

	make_tree(fd);
	CHECK_INT(symlinkat(B "/bin", fd, "t/to-b"), 0);
	CHECK_INT(scan_new("/gnu/store", paths, 2, &s, &e), 0);
	CHECK_INT(scan_tree(s, fd, "t", &one, &size, &e), 0);
	CHECK_INT(nar_hash(fd, "t", DIGEST_SHA256, NULL, NULL, &two, NULL, &e), 0);
	CHECK(digest_eq(&one, &two));
	scan_found(s, &found);
	CHECK_INT(found.n, 1);
	CHECK(found.n == 1 && !strcmp(found.v[0], B));
	scan_free(s);
	scratch_done(&fd, dir);
}

static void check_meta(int fd, const char *name, mode_t mode)
{
	struct stat st;

	CHECK_INT(fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	if (!S_ISLNK(st.st_mode) && (st.st_mode & 07777) != mode)
		TEST_FAIL("%s has mode %o", name, st.st_mode & 07777);
	CHECK_INT(st.st_mtim.tv_sec, 1);
	CHECK_INT(st.st_mtim.tv_nsec, 0);
}

TEST(out_06_odd_metadata)
{
	char dir[256];
	auto_fd int fd = scratch(dir);
	struct canon c = CANON_INIT;
	struct err e = ERR_INIT;
	struct stat st;

	make_tree(fd);
	make_file(fd, "t/suid", "x", 04711);
	CHECK_INT(mkdirat(fd, "t/shut", 0), 0);
	CHECK_INT(linkat(fd, "t/run", fd, "t/run2", 0), 0);
	c.from = geteuid();
	CHECK_INT(canon_tree(&c, fd, "t", &e), 0);
	check_meta(fd, "t", 0555);
	check_meta(fd, "t/sub", 0555);
	check_meta(fd, "t/shut", 0555);
	check_meta(fd, "t/b.txt", 0444);
	check_meta(fd, "t/sub/eight", 0444);
	check_meta(fd, "t/run", 0555);
	check_meta(fd, "t/run2", 0555);
	check_meta(fd, "t/suid", 0555);
	check_meta(fd, "t/link", 0);
	c.from = geteuid() + 1;
	CHECK_INT(canon_tree(&c, fd, "t", &e), -ERR_INVALID);
	CHECK(strstr(e.msg, "ownership") != NULL);
	c.from = (uid_t)-1;
	CHECK_INT(fchmodat(fd, "t", 0755, 0), 0);
	CHECK_INT(mkfifoat(fd, "t/fifo", 0600), 0);
	CHECK_INT(canon_tree(&c, fd, "t", &e), -ERR_INVALID);
	CHECK(fstatat(fd, "t/fifo", &st, 0) == 0);
	canon_done(&c);
	scratch_done(&fd, dir);
}

TEST_MAIN(known_bytes, restores_what_was_dumped, cut_archives, changed_archives, wrong_grammar,
	  limits, filter_and_odd_types, finds_references_across_borders,
	  scan_refuses_ambiguous_candidates, scans_a_tree, out_06_odd_metadata)
