/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image/closure.h"
#include "image/fill.h"
#include "image/layout.h"
#include "image/manifest.h"
#include "image/place.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "store/store.h"
#include "tests/unit/test.h"

/* ---- Manifest */

TEST(order)
{
	static const char *const want[] = { "",	    "a",     "a/b", "a/b/c", "a/b.d",
					    "a/b0", "a\x01", "a-b", "a.b",   "a0" };
	static const size_t shuffled[] = { 9, 4, 0, 7, 2, 8, 3, 6, 1, 5 };
	auto_arena struct arena a = ARENA_INIT;
	struct manifest m = { .arena = &a, .entries = VEC_INIT };
	struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(shuffled); i++)
		CHECK(manifest_dir(&m, want[shuffled[i]], 0755) != NULL);
	CHECK_INT(manifest_finish(&m, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		CHECK_STR(manifest_at(&m, i)->path, want[i]);
	manifest_done(&m);
}

TEST(manifest_refuses)
{
	static const char *const bad[][3] = {
		{ "a" },		 /* no root */
		{ "", "a", "a" },	 /* twice */
		{ "", "a/b" },		 /* nothing holds it */
		{ "", "/a" },		 /* absolute */
		{ "", "a", "a/../b" },	 /* unclean */
		{ "", "link", "link/x" } /* below what is no directory */
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct manifest m = { .arena = &a, .entries = VEC_INIT };
		struct err e = ERR_INIT;

		for (size_t k = 0; k < 3 && bad[i][k]; k++)
			if (strcmp(bad[i][k], "link") == 0)
				(void)manifest_link(&m, "link", "a");
			else
				(void)manifest_dir(&m, bad[i][k], 0755);
		CHECK_INT(manifest_finish(&m, &e), -ERR_INVALID);
		CHECK(e.msg[0] != '\0');
		manifest_done(&m);
	}
}

/* ---- Layout */

#define ROOT_PART "[partition root]\ncontent = root\n"

TEST(layout)
{
	auto_arena struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct layout l;
	char type[GUID_TEXT_MAX];

	CHECK_INT(layout_parse(&a,
			       SLICE("[partition esp]\ncontent = esp\nflags = required hidden\n"
				     "[partition root]\ncontent = root\nlabel = a b\nfree = 1M\n"
				     "[partition s]\ncontent = swap\nsize = 3M\npart-label = S\n"),
			       "f", &l, &e),
		  0);
	CHECK_INT(l.n, 3);
	CHECK_INT(l.parts[0].content, PART_ESP);
	CHECK_INT(l.parts[0].size, LAYOUT_ESP_SIZE);
	CHECK(l.parts[0].attributes == (UINT64_C(1) | UINT64_C(1) << 62));
	CHECK_STR(l.parts[0].part_label, "esp");
	CHECK_STR(l.parts[1].label, "a b");
	CHECK_INT(l.parts[1].free, 1 << 20);
	CHECK_INT(l.parts[1].size, 0);
	CHECK_STR(l.parts[2].part_label, "S");
	struct guid g = layout_type(&l.parts[2]);
	guid_format(&g, type);
	CHECK_STR(type, GPT_TYPE_LINUX_SWAP);
}

TEST(layout_refuses)
{
	static const char *const bad[] = {
		"",
		"[partition x]\n",
		"[partition]\ncontent = root\n",
		"[disk x]\ncontent = root\n",
		ROOT_PART "[partition root]\ncontent = empty\nsize = 1M\n",
		ROOT_PART "[partition b]\ncontent = root\n",
		ROOT_PART "[partition b]\ncontent = esp\n[partition c]\ncontent = esp\n",
		ROOT_PART "[partition b]\ncontent = swap\n",
		ROOT_PART "[partition b]\ncontent = other\n",
		ROOT_PART "size = 5000\n",
		ROOT_PART "size = 2000T\n",
		ROOT_PART "uuid = x\n",
		ROOT_PART "flags = loud\n",
		ROOT_PART "file-system = ntfs\n",
		ROOT_PART "file-system = erofs\nfree = 1M\n",
		ROOT_PART "file-system = squashfs\nlabel = x\n",
		ROOT_PART "[partition b]\ncontent = empty\nsize = 1M\nfile-system = erofs\n",
		ROOT_PART "[partition b]\ncontent = boot\n[partition c]\ncontent = boot\n",
		ROOT_PART "[partition b]\ncontent = ext4\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		struct layout l;

		if (layout_parse(&a, slice_of(bad[i]), "f", &l, &e) == 0 || !e.msg[0])
			TEST_FAIL("accepted: %s", bad[i]);
	}
}

/* ---- Closure */

#define A "/gnu/store/0123456789abcdfghijklmnpqrsvwxyz-a"
#define B "/gnu/store/1123456789abcdfghijklmnpqrsvwxyz-b"

TEST(closure)
{
	static const char *const bad[] = {
		"",
		A,
		A "\n",
		A "\n\n",
		A "\n\n1\n",
		A "\n\n1\n" B "\n",
		A "\n\n0\n" A "\n\n0\n",
		A "\n\n-1\n",
		A "\n\nx\n",
		"/gnu/store/a\n\n0\n",
		"relative\n\n0\n",
		A "\n\n1\n/etc/passwd\n",
	};
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec v = VEC_INIT;
	struct err e = ERR_INIT;

	CHECK_INT(closure_parse(&a, "/gnu/store", slice_of(B "\n\n2\n" B "\n" A "\n" A "\n\n0\n"),
				&v, &e),
		  0);
	CHECK_INT(v.n, 2);
	const struct store_info *x = (const struct store_info *)v.v[0];
	const struct store_info *y = (const struct store_info *)v.v[1];
	CHECK_STR(x->path, A);
	CHECK_INT(x->nrefs, 0);
	CHECK_STR(y->path, B);
	CHECK_INT(y->nrefs, 2);
	CHECK_STR(y->refs[0], A);
	CHECK_INT(y->registered, 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_vec struct vec w = VEC_INIT;
		if (closure_parse(&a, "/gnu/store", slice_of(bad[i]), &w, &e) == 0)
			TEST_FAIL("accepted: %s", bad[i]);
	}
}

/* ---- Fill: the hash taken on the way is that of the NAR */

struct null_sink {
	struct img_sink sink;
	uint64_t bytes;
	unsigned entries;
};

static int null_entry(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	CONTAINER_OF(s, struct null_sink, sink)->entries++;
	return 0;
}

static int null_data(struct img_sink *s, const void *p, size_t n, struct err *e)
{
	CONTAINER_OF(s, struct null_sink, sink)->bytes += n;
	return 0;
}

static int null_end(struct img_sink *s, const struct man_entry *n, struct err *e)
{
	return 0;
}

static void put_file(int dir, const char *path, const void *p, size_t n, mode_t mode)
{
	struct err e = ERR_INIT;

	CHECK_INT(file_write_atomic(dir, path, p, n, mode, &e), 0);
}

/* A tree with what NARs care about: empty and odd sizes, x bits, names around '/', deep ends. */
static void make_tree(int dir)
{
	static char big[70001];
	struct err e = ERR_INIT;

	memset(big, 'z', sizeof(big));
	CHECK_INT(file_mkdir_p(dir, "t/a/b/c", 0755, &e), 0);
	CHECK_INT(file_mkdir_p(dir, "t/empty", 0755, &e), 0);
	put_file(dir, "t/a-b", "1", 1, 0644);
	put_file(dir, "t/a.b", "12345678", 8, 0755);
	put_file(dir, "t/a/b/c/big", big, sizeof(big), 0600);
	put_file(dir, "t/none", "", 0, 0644);
	CHECK_INT(symlinkat("a/b", dir, "t/link"), 0);
}

TEST(fill_hashes_the_nar)
{
	char root[] = "/tmp/t_image.XXXXXX", source[64];
	auto_arena struct arena a = ARENA_INIT;
	struct store_info info = { .path = A };
	struct manifest m = { .arena = &a, .entries = VEC_INIT };
	struct null_sink s = { .sink = { null_entry, null_data, null_end } };
	struct fill_opts opts = { 0 };
	struct digest want;
	uint64_t size = 0;
	struct err e = ERR_INIT;

	CHECK(mkdtemp(root) != NULL);
	auto_fd int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_tree(dir);
	(void)snprintf(source, sizeof(source), "%s/t", root);
	(void)manifest_dir(&m, "", 0755);
	(void)manifest_dir(&m, "gnu", 0755);
	(void)manifest_dir(&m, "gnu/store", 0755);
	CHECK_INT(manifest_add_item(&m, source, &info, &e), 0);
	(void)manifest_bytes(&m, "gnu/zzz", 0600, SLICE("outside"));
	CHECK_INT(manifest_finish(&m, &e), 0);
	CHECK_INT(fill_run(&m, &s.sink, &opts, &e), 0);
	CHECK_INT(s.entries, m.entries.n);
	CHECK_INT(s.bytes, 70001 + 1 + 8 + 7);
	CHECK_INT(nar_hash(dir, "t", DIGEST_SHA256, NULL, NULL, &want, &size, &e), 0);
	CHECK(digest_eq(&want, &info.nar_hash));
	CHECK(size == info.nar_size);
	/* A file that changed behind our back is no image. */
	put_file(dir, "t/a-b", "two", 3, 0644);
	CHECK_INT(fill_run(&m, &s.sink, &opts, &e), -ERR_INVALID);
	manifest_done(&m);
	CHECK_INT(file_delete_tree(AT_FDCWD, root, NULL, &e), 0);
}

/* ---- Place */

static unsigned fsyncs;

/* Instead of that of the C library: counts. */
int fsync(int fd)
{
	fsyncs++;
	return (int)syscall(SYS_fsync, fd);
}

static int put(const char *path, bool locked)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && (!locked || flock(fd, LOCK_EX) == 0));
	if (!locked)
		close(fd);
	return fd;
}

/* What killed runs left beside the target goes; what is being written, and other files, stay. */
TEST(place_after_killed_runs)
{
	char root[] = "/tmp/place-XXXXXX", source[64], target[64], text[96];
	auto_arena struct arena a = ARENA_INIT;
	static const char *const names[] = { ".to.raw.1", ".to.raw.4711", ".to.raw.12x", ".to.raw",
					     ".other.raw.1" };
	static const bool stays[] = { false, false, true, true, true };
	struct err e = ERR_INIT;
	const char *real;

	CHECK(mkdtemp(root));
	snprintf(source, sizeof(source), "%s/from", root);
	snprintf(target, sizeof(target), "%s/to.raw", root);
	(void)put(source, false);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(text, sizeof(text), "%s/%s", root, names[i]);
		(void)put(text, false);
	}
	snprintf(text, sizeof(text), "%s/.to.raw.22", root);
	int busy = put(text, true);
	fsyncs = 0;
	CHECK_INT(img_place(source, target, &a, &real, &e), 0);
	CHECK_INT(fsyncs, 2); /* the file, then its directory */
	CHECK_INT(access(target, F_OK), 0);
	CHECK_INT(access(text, F_OK), 0);
	close(busy);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(text, sizeof(text), "%s/%s", root, names[i]);
		CHECK_INT(access(text, F_OK) == 0, stays[i]);
	}
	CHECK_INT(file_delete_tree(AT_FDCWD, root, NULL, &e), 0);
}

TEST(place)
{
	char root[] = "/tmp/t_image.XXXXXX", source[64], target[64];
	auto_arena struct arena a = ARENA_INIT;
	auto_str struct str got = STR_INIT;
	const char *real = NULL;
	struct err e = ERR_INIT;
	struct stat st;

	CHECK(mkdtemp(root) != NULL);
	(void)snprintf(source, sizeof(source), "%s/s", root);
	(void)snprintf(target, sizeof(target), "%s/./t", root);
	auto_fd int fd = open(source, O_RDWR | O_CREAT | O_CLOEXEC, 0400);
	CHECK_INT(ftruncate(fd, 8 << 20), 0);
	CHECK_INT(pwrite(fd, "middle", 6, 3 << 20), 6);
	CHECK_INT(img_place(source, target, &a, &real, &e), 0);
	(void)snprintf(target, sizeof(target), "%s/t", root);
	CHECK_STR(real, target);
	CHECK_INT(stat(target, &st), 0);
	CHECK_INT(st.st_size, 8 << 20);
	CHECK(st.st_blocks * 512 < 2 << 20);
	CHECK(st.st_mode & 0200);
	CHECK_INT(file_read(AT_FDCWD, target, &got, 16 << 20, &e), 0);
	CHECK(got.len == 8 << 20 && memcmp(got.buf + (3 << 20), "middle", 7) == 0);
	CHECK_INT(img_place(source, target, &a, &real, &e), 0); /* replaces a file */
	(void)snprintf(target, sizeof(target), "%s/d", root);
	CHECK_INT(mkdir(target, 0755), 0);
	CHECK(img_place(source, target, &a, &real, &e) < 0); /* not a directory */
	CHECK(img_place(root, source, &a, &real, &e) < 0);
	CHECK_INT(file_delete_tree(AT_FDCWD, root, NULL, &e), 0);
}

TEST_MAIN(order, manifest_refuses, layout, layout_refuses, closure, fill_hashes_the_nar, place,
	  place_after_killed_runs)
