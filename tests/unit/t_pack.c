/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images without a file system of their own: tar files, layers, names of containers, qcow2. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/layers.h"
#include "image/oci.h"
#include "image/qcow2.h"
#include "lib/fd.h"
#include "lib/size.h"
#include "store/store.h"
#include "tests/unit/test.h"

/* ---- Tar: what cannot be written is an error, whenever it shows -------------------------------*/

struct full_sink {
	struct nar_sink sink;
	size_t room, closed;
};

static int full_write(struct nar_sink *s, const void *p, size_t n, struct err *e)
{
	struct full_sink *f = CONTAINER_OF(s, struct full_sink, sink);

	if (f->closed++ || n > f->room)
		return err_num(e, -ENOSPC, "the disk");
	f->room -= n;
	f->closed = 0;
	return 0;
}

static int write_tar(struct full_sink *f, bool gzip, struct err *e)
{
	static const char data[200000];
	struct tar_entry n = { .path = "x", .mode = S_IFREG | 0644, .size = sizeof(data) };
	struct tar *t = NULL;

	int r = tar_open(&f->sink, gzip, &t, e);
	if (r == 0)
		r = tar_entry(t, &n, e);
	if (r == 0)
		r = tar_data(t, data, sizeof(data), e);
	if (r == 0)
		return tar_close(t, e);
	tar_free(t);
	return r;
}

TEST(tar_without_room)
{
	struct full_sink enough = { { full_write }, 1 << 20, 0 };
	struct err e = ERR_INIT;

	CHECK_INT(write_tar(&enough, false, &e), 0);
	size_t used = (1 << 20) - enough.room;
	CHECK_INT(used % 512, 0);
	for (size_t room = 0; room < used; room += 512) {
		struct full_sink f = { { full_write }, room, 0 };
		e = (struct err)ERR_INIT;
		CHECK_INT(write_tar(&f, false, &e), -ENOSPC);
		CHECK(strstr(e.msg, "the disk") != NULL);
		CHECK(f.closed <= 1); /* not asked again */
	}
	struct full_sink none = { { full_write }, 0, 0 };
	e = (struct err)ERR_INIT;
	CHECK_INT(write_tar(&none, true, &e), -ENOSPC);
}

/* ---- Layers ---------------------------------------------------------------------------------- */

#define P(c, name) "/gnu/store/" #c "123456789abcdfghijklmnpqrsvwxyz-" name

/* libc <- shell <- tool <- system, libc <- tool; data <- system; libc refers to itself. */
static void make_closure(struct vec *v)
{
	static const char *libc_refs[] = { P(3, "libc") };
	static const char *shell_refs[] = { P(3, "libc") };
	static const char *tool_refs[] = { P(2, "shell"), P(3, "libc") };
	static const char *system_refs[] = { P(0, "zdata"), P(1, "tool"), P(5, "adata") };
	static struct store_info items[] = {
		{ .path = P(0, "zdata") },
		{ .path = P(1, "tool"), .refs = tool_refs, .nrefs = 2 },
		{ .path = P(2, "shell"), .refs = shell_refs, .nrefs = 1 },
		{ .path = P(3, "libc"), .refs = libc_refs, .nrefs = 1 },
		{ .path = P(4, "system"), .refs = system_refs, .nrefs = 3 },
		{ .path = P(5, "adata") },
	};

	for (size_t i = 0; i < ARRAY_LEN(items); i++)
		vec_add(v, &items[i]);
}

static void check_plan(size_t max, size_t layers, const size_t want[6])
{
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct layers plan;
	struct err e = ERR_INIT;

	make_closure(&closure);
	CHECK_INT(layers_plan(&a, &closure, max, &plan, &e), 0);
	CHECK_INT(plan.n, layers);
	for (size_t i = 0; i < 6; i++)
		CHECK_INT(layers_find(&plan, closure.v[i]), want[i]);
}

TEST(layers)
{
	/* users: libc 3, shell 2, adata tool zdata 1 (by name), system 0 */
	check_plan(40, 6, (const size_t[]){ 4, 3, 1, 0, 5, 2 });
	check_plan(6, 6, (const size_t[]){ 4, 3, 1, 0, 5, 2 });
	check_plan(3, 3, (const size_t[]){ 2, 2, 1, 0, 2, 2 });
	check_plan(1, 1, (const size_t[]){ 0, 0, 0, 0, 0, 0 });
}

TEST(circle_of_items)
{
	static const char *a_refs[] = { P(1, "b") }, *b_refs[] = { P(0, "a") };
	static struct store_info items[] = { { .path = P(0, "a"), .refs = a_refs, .nrefs = 1 },
					     { .path = P(1, "b"), .refs = b_refs, .nrefs = 1 } };
	auto_arena struct arena a = ARENA_INIT;
	auto_vec struct vec closure = VEC_INIT;
	struct layers plan;
	struct err e = ERR_INIT;

	vec_add(&closure, &items[0]);
	vec_add(&closure, &items[1]);
	CHECK_INT(layers_plan(&a, &closure, 9, &plan, &e), 0);
	CHECK_INT(plan.n, 2);
}

/* ---- Names of container images --------------------------------------------------------------- */

TEST(names)
{
	static const char *const good[][3] = {
		{ "a", "a", "latest" },
		{ "stone:1.0", "stone", "1.0" },
		{ "a-b--c.d_e__f/g:V_1.-x", "a-b--c.d_e__f/g", "V_1.-x" },
		{ "localhost/x", "localhost/x", "latest" },
		{ "registry.example:5000/a/b:t", "registry.example:5000/a/b", "t" },
		{ "localhost:5000/x", "localhost:5000/x", "latest" },
	};
	static const char *const bad[] = { "",	    ":",	 "a:",	 ":a",	    "A",
					   "a/",    "/a",	 "a//b", "-a",	    "a-",
					   "a..b",  "a___b",	 "a._b", "a-.b",    "a:b:c",
					   "a:.b",  "a:-b",	 "a b",	 "a\n",	    "a:b\"c",
					   "h:x/a", "h:99999/a", ".h/a", "\xc3\xa4" };
	struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct oci_name n = { "", "" };
		CHECK_INT(oci_name_parse(&a, good[i][0], &n, &e), 0);
		CHECK_STR(n.name, good[i][1]);
		CHECK_STR(n.tag, good[i][2]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_arena struct arena a = ARENA_INIT;
		struct oci_name n;
		if (oci_name_parse(&a, bad[i], &n, &e) != -ERR_INVALID)
			TEST_FAIL("accepted: %s", bad[i]);
	}
	char longest[400];
	memset(longest, 'a', sizeof(longest));
	auto_arena struct arena a = ARENA_INIT;
	struct oci_name n;
	longest[255] = '\0';
	CHECK_INT(oci_name_parse(&a, longest, &n, &e), 0);
	longest[255] = 'a';
	longest[256] = '\0';
	CHECK_INT(oci_name_parse(&a, longest, &n, &e), -ERR_INVALID);
}

/* ---- qcow2: read back by the format's own rules
 * ------------------------------------------------*/

#define CLUSTER UINT64_C(65536)
#define L2_SPAN (UINT64_C(8192) * CLUSTER)

static uint64_t be64_at(int fd, uint64_t off)
{
	uint64_t v = 0;

	CHECK_INT(pread(fd, &v, sizeof(v), (off_t)off), (int)sizeof(v));
	return be64toh(v);
}

/* Offset in the file of what the disk has at off; 0: nothing. */
static uint64_t lookup(int fd, uint64_t off)
{
	const uint64_t mask = UINT64_C(0x00fffffffffffe00);
	uint64_t l1 = be64_at(fd, 40), l2 = be64_at(fd, l1 + off / L2_SPAN * 8) & mask;

	if (!l2)
		return 0;
	return be64_at(fd, l2 + off % L2_SPAN / CLUSTER * 8) & mask;
}

static void check_disk(const char *dir, uint64_t size, const uint64_t *marks, size_t n)
{
	char in[80], out[80], got[6];
	uint64_t bytes = 0;
	struct err e = ERR_INIT;
	struct stat st;

	(void)snprintf(in, sizeof(in), "%s/in", dir);
	(void)snprintf(out, sizeof(out), "%s/out", dir);
	auto_fd int disk = open(in, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK_INT(ftruncate(disk, (off_t)size), 0);
	for (size_t i = 0; i < n; i++)
		CHECK_INT(pwrite(disk, "cairn", 5, (off_t)marks[i]), 5);
	CHECK_INT(qcow2_make(in, out, &bytes, &e), 0);
	auto_fd int fd = open(out, O_RDONLY | O_CLOEXEC);
	CHECK_INT(fstat(fd, &st), 0);
	CHECK(bytes == (uint64_t)st.st_size && bytes % CLUSTER == 0);
	CHECK(be64_at(fd, 24) == size);
	for (size_t i = 0; i < n; i++) {
		uint64_t at = lookup(fd, marks[i]);
		CHECK(at != 0);
		CHECK_INT(pread(fd, got, 5, (off_t)(at + marks[i] % CLUSTER)), 5);
		CHECK(memcmp(got, "cairn", 5) == 0);
	}
	CHECK(qcow2_make(in, out, &bytes, &e) == -EEXIST);
	CHECK_INT(unlink(out), 0); /* which the refusal did not remove */
}

TEST(qcow2_borders)
{
	char dir[] = "/tmp/t_pack.XXXXXX";
	const uint64_t marks[] = { 0,		CLUSTER - 5, CLUSTER,	 L2_SPAN - CLUSTER,
				   L2_SPAN - 5, L2_SPAN,     3 * L2_SPAN };
	struct err e = ERR_INIT;

	CHECK(mkdtemp(dir) != NULL);
	check_disk(dir, 512, marks, 0);
	check_disk(dir, 512, marks, 1);
	check_disk(dir, CLUSTER, marks, 2);
	check_disk(dir, CLUSTER + 512, marks, 3);
	check_disk(dir, L2_SPAN, marks, 5);
	check_disk(dir, L2_SPAN + 512, marks, 6);
	check_disk(dir, 4 * L2_SPAN, marks, ARRAY_LEN(marks));
	check_disk(dir, 4 * L2_SPAN, &marks[6], 1);
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, &e), 0);
}

TEST(qcow2_of_no_disk)
{
	char dir[] = "/tmp/t_pack.XXXXXX", in[64], out[64];
	uint64_t size = 0;
	struct err e = ERR_INIT;

	CHECK(mkdtemp(dir) != NULL);
	(void)snprintf(in, sizeof(in), "%s/in", dir);
	(void)snprintf(out, sizeof(out), "%s/out", dir);
	CHECK_INT(qcow2_make(in, out, &size, &e), -ENOENT);
	CHECK_INT(qcow2_make(dir, out, &size, &e), -ERR_INVALID);
	CHECK_INT(mkfifo(in, 0600), 0);
	CHECK_INT(qcow2_make(in, out, &size, &e), -ERR_INVALID); /* and does not wait */
	CHECK_INT(unlink(in), 0);
	auto_fd int fd = open(in, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_INT(qcow2_make(in, out, &size, &e), -ERR_INVALID);
	CHECK_INT(ftruncate(fd, 1000), 0);
	CHECK_INT(qcow2_make(in, out, &size, &e), -ERR_INVALID);
	CHECK(strstr(e.msg, "512") != NULL);
	CHECK_INT(access(out, F_OK), -1);
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, &e), 0);
}

TEST_MAIN(tar_without_room, layers, circle_of_items, names, qcow2_borders, qcow2_of_no_disk)
