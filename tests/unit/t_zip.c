/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Compressed streams: there and back, and what is cut short, wrong or compressed twice. */
#include "store/format/zip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "tests/unit/test.h"

struct mem_sink {
	struct nar_sink sink;
	struct str bytes;
};

static int mem_write(struct nar_sink *sink, const void *p, size_t n, struct err *e)
{
	struct mem_sink *s = CONTAINER_OF(sink, struct mem_sink, sink);

	str_addn(&s->bytes, p, n);
	return str_err(&s->bytes) ? err_set(e, -ERR_LIMIT, "full") : 0;
}

struct mem_input {
	struct zip_input in;
	struct slice left;
};

static ssize_t mem_read(struct zip_input *in, void *p, size_t n, struct err *e)
{
	struct mem_input *m = CONTAINER_OF(in, struct mem_input, in);
	size_t part = MIN_OF(MIN_OF(n, m->left.n), (size_t)1000);

	(void)e;
	memcpy(p, m->left.p, part);
	m->left.p += part;
	m->left.n -= part;
	return (ssize_t)part;
}

static void zip(enum zip kind, unsigned level, struct slice text, struct str *out)
{
	struct mem_sink m = { .sink = { mem_write }, .bytes = STR_INIT };
	struct zipper *z = NULL;
	struct err e = ERR_INIT;

	CHECK_INT(zip_open(&m.sink, kind, level, &z, &e), 0);
	CHECK_STR(e.msg, "");
	if (!z)
		return;
	CHECK_INT(zip_sink(z)->write(zip_sink(z), text.p, text.n / 2, &e), 0);
	CHECK_INT(zip_sink(z)->write(zip_sink(z), text.p + text.n / 2, text.n - text.n / 2, &e), 0);
	CHECK_INT(zip_close(z, &e), 0);
	CHECK_STR(e.msg, "");
	str_adds(out, str_slice(&m.bytes));
	str_done(&m.bytes);
}

static int unzip(enum zip kind, struct slice text, struct str *out, struct err *e)
{
	struct mem_input m = { .in = { mem_read }, .left = text };
	struct unzipper *u = NULL;
	char buf[777];
	ssize_t n = unzip_open(&m.in, kind, &u, e);

	while (n == 0 && (n = unzip_read(u, buf, sizeof(buf), e)) > 0) {
		str_addn(out, buf, (size_t)n);
		n = 0;
		if (out->len > (1 << 20))
			break;
	}
	unzip_free(u);
	return (int)n;
}

static const enum zip kinds[] = { ZIP_NONE, ZIP_GZIP, ZIP_LZIP, ZIP_ZSTD, ZIP_XZ };

static void fill(struct str *s)
{
	for (int i = 0; s->len < 100000; i++)
		str_addf(s, "line %d of %d\n", i, i * i);
}

TEST(there_and_back)
{
	auto_str struct str text = STR_INIT;

	fill(&text);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		auto_str struct str packed = STR_INIT, back = STR_INIT, again = STR_INIT;
		struct err e = ERR_INIT;

		zip(kinds[i], 0, str_slice(&text), &packed);
		zip(kinds[i], 0, str_slice(&text), &again);
		CHECK(slice_eq(str_slice(&packed), str_slice(&again)));
		CHECK(kinds[i] == ZIP_NONE || packed.len < text.len / 2);
		CHECK_INT(unzip(kinds[i], str_slice(&packed), &back, &e), 0);
		CHECK_STR(e.msg, "");
		CHECK(slice_eq(str_slice(&text), str_slice(&back)));
	}
}

TEST(nothing)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		auto_str struct str packed = STR_INIT, back = STR_INIT;
		struct err e = ERR_INIT;

		zip(kinds[i], 1, SLICE(""), &packed);
		CHECK((unzip(kinds[i], str_slice(&packed), &back, &e) == 0) ==
		      (kinds[i] == ZIP_NONE));
		CHECK_INT(back.len, 0);
	}
}

TEST(levels)
{
	auto_str struct str text = STR_INIT, fast = STR_INIT, small = STR_INIT;

	fill(&text);
	zip(ZIP_ZSTD, 1, str_slice(&text), &fast);
	zip(ZIP_ZSTD, 19, str_slice(&text), &small);
	CHECK(small.len < fast.len);
}

TEST(cut_short)
{
	auto_str struct str text = STR_INIT;

	fill(&text);
	for (size_t i = 1; i < ARRAY_LEN(kinds); i++) {
		auto_str struct str packed = STR_INIT;

		zip(kinds[i], 0, str_slice(&text), &packed);
		for (size_t n = 0; n < packed.len; n += 1 + packed.len / 50) {
			auto_str struct str back = STR_INIT;
			struct err e = ERR_INIT;
			int r = unzip(kinds[i], (struct slice){ packed.buf, n }, &back, &e);

			if (r == 0 && back.len == text.len && n + 20 < packed.len)
				TEST_FAIL("%s: whole from %zu bytes", zip_name(kinds[i]), n);
			if (r < 0 && !e.code)
				TEST_FAIL("%s: no reason", zip_name(kinds[i]));
		}
	}
}

TEST(twice)
{
	for (size_t i = 1; i < ARRAY_LEN(kinds); i++) {
		auto_str struct str once = STR_INIT, twice = STR_INIT, back = STR_INIT;
		struct err e = ERR_INIT;

		zip(kinds[i], 0, SLICE("text"), &once);
		zip(kinds[i], 0, str_slice(&once), &twice);
		CHECK_INT(unzip(kinds[i], str_slice(&twice), &back, &e), 0);
		CHECK(slice_eq(str_slice(&once), str_slice(&back)));
	}
}

TEST(garbage)
{
	for (size_t i = 1; i < ARRAY_LEN(kinds); i++) {
		auto_str struct str back = STR_INIT;
		struct err e = ERR_INIT;

		CHECK(unzip(kinds[i], SLICE("this is nothing that was ever compressed, by anybody"),
			    &back, &e) < 0);
		CHECK(e.code < 0 && *e.msg);
	}
}

TEST(names)
{
	enum zip kind;

	CHECK_INT(zip_parse(SLICE("zstd"), &kind), 0);
	CHECK_INT(kind, ZIP_ZSTD);
	CHECK_INT(zip_parse(SLICE("br"), &kind), -ERR_UNSUPPORTED);
	CHECK_INT(zip_parse(SLICE(""), &kind), -ERR_UNSUPPORTED);
}

/* ---- A member of a Debian package ------------------------------------------------------------ */

static char *scratch(char out[256])
{
	const char *tmp = getenv("TMP");

	snprintf(out, 256, "%.200s/t_zip.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	return out;
}

/* A header of a tar file and its sum. */
static void add_tar_head(struct str *out, const char *name, const char *size, char type)
{
	unsigned char h[512] = { 0 };
	unsigned sum = 8 * ' ';

	snprintf((char *)h, 100, "%s", name);
	memcpy(h + 100, "0000644\0000000000\0000000000", 24);
	memcpy(h + 124, size, 12);
	memcpy(h + 136, "00000000000", 12);
	h[156] = (unsigned char)type;
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
	h[155] = ' ';
	str_addn(out, h, sizeof(h));
}

/* "!<arch>", and data.tar with one file that says it has size (octal) bytes, and has text. */
static int make_deb(const char *size, const char *text)
{
	auto_str struct str tar = STR_INIT, deb = STR_INIT;
	char file[256], block[512] = "";
	int fd = mkstemp(scratch(file));

	snprintf(block, sizeof(block), "%s", text);
	add_tar_head(&tar, "./usr/share/x", size, '0');
	str_addn(&tar, block, sizeof(block));
	memset(block, 0, sizeof(block));
	str_addn(&tar, block, sizeof(block));
	str_addn(&tar, block, sizeof(block));
	str_addf(&deb, "!<arch>\n%-16s%-12s%-6s%-6s%-8s%-10zu`\n", "data.tar", "0", "0", "0",
		 "100644", tar.len);
	str_adds(&deb, str_slice(&tar));
	(void)unlink(file);
	CHECK_INT(fd_write_full(fd, deb.buf, deb.len), 0);
	CHECK_INT(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static int unpack(const char *size, const char *text, struct str *out, struct err *e)
{
	char dir[256];
	auto_fd int deb = make_deb(size, text);
	auto_fd int fd = open(mkdtemp(scratch(dir)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = unpack_deb_member(deb, "usr/share/x", fd, "x", 0644, e);

	CHECK_INT(file_read(fd, "x", out, 1000, NULL), r < 0 ? -ENOENT : 0);
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, NULL), 0);
	return r;
}

TEST(debian_member)
{
	auto_str struct str out = STR_INIT;
	struct err e = ERR_INIT;

	CHECK_INT(unpack("00000000005", "hello", &out, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK_SLICE(str_slice(&out), "hello");
}

/* What says that it is larger than may be is refused before a byte of it is written. */
TEST(debian_member_too_large)
{
	auto_str struct str out = STR_INIT;
	struct err e = ERR_INIT;

	CHECK_INT(unpack("40000000001", "hello", &out, &e), -ERR_LIMIT); /* 4 GiB and a byte */
	CHECK(strstr(e.msg, "larger than") != NULL);
	/* cut short: it is the end that is missed, not the size that is refused */
	CHECK_INT(unpack("40000000000", "hello", &out, &e), -ERR_INVALID);
}

TEST_MAIN(debian_member, debian_member_too_large, there_and_back, nothing, levels, cut_short, twice,
	  garbage, names)
