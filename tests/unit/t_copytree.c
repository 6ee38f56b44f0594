/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Trees copied and handed over: a directory that cannot be read to its end is an error, not a
 * smaller tree. */
#include "store/build/copytree.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lib/fd.h"
#include "store/build/workdir.h"
#include "tests/unit/test.h"

static int entries = -1; /* that can be read before an error; -1: all */
static bool failed;

static bool tick(void)
{
	if (entries < 0 || entries-- > 0)
		return false;
	entries = 0;
	failed = true;
	errno = EIO;
	return true;
}

struct dirent *readdir(DIR *d)
{
	struct dirent *(*real)(DIR *) = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir");

	return tick() ? NULL : real(d);
}

struct bench {
	char dir[256];
	int fd;
};

/* DIR/tree/sub with some files. */
static bool begin(struct bench *b)
{
	const char *tmp = getenv("TMP");

	snprintf(b->dir, sizeof(b->dir), "%.200s/t_copytree.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(b->dir))
		return false;
	b->fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(file_mkdir_p(b->fd, "tree/sub", 0755, NULL), 0);
	for (char name[] = "tree/sub/a"; name[9] < 'f'; name[9]++) {
		auto_fd int fd = openat(b->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		CHECK_INT(fd_write_full(fd, name, sizeof(name)), 0);
	}
	return b->fd >= 0;
}

static void end(struct bench *b)
{
	fd_close(&b->fd);
	CHECK_INT(file_delete_tree(AT_FDCWD, b->dir, NULL, NULL), 0);
}

/* Fails at each entry in turn, until none is left to fail at. */
static int sweep(int (*fn)(struct bench *b, struct err *e), struct bench *b)
{
	for (int n = 0; n < 100; n++) {
		struct err e = ERR_INIT;
		entries = n;
		failed = false;
		int r = fn(b, &e);
		entries = -1;
		if (!failed) {
			CHECK_STR(e.msg, "");
			CHECK_INT(r, 0);
			return n;
		}
		CHECK_INT(r, -EIO);
	}
	TEST_FAIL("no end");
	return 0;
}

static int copy(struct bench *b, struct err *e)
{
	CHECK_INT(file_delete_tree(b->fd, "copy", NULL, NULL), 0);
	return copytree(b->fd, "tree", b->fd, "copy", e);
}

TEST(copies)
{
	struct bench b;

	if (!begin(&b)) {
		TEST_FAIL("no directory");
		return;
	}
	CHECK(sweep(copy, &b) > 6);
	CHECK_INT(faccessat(b.fd, "copy/sub/e", F_OK, 0), 0);
	end(&b);
}

static struct local *store;

static int keep(struct bench *b, struct err *e)
{
	auto_str struct str where = STR_INIT;
	return workdir_keep(store, b->fd, "tree", geteuid(), (uid_t)-1, (gid_t)-1, &where, e);
}

TEST(kept_trees)
{
	struct bench b;
	struct err e = ERR_INIT;

	if (!begin(&b)) {
		TEST_FAIL("no directory");
		return;
	}
	struct local_opts opts = { .root = b.dir, .no_sync = true };
	CHECK_INT(local_open(&opts, &store, &e), 0);
	CHECK_STR(e.msg, "");
	CHECK(sweep(keep, &b) > 6);
	CHECK_INT(faccessat(b.fd, "tree", F_OK, 0), -1);
	local_close(store);
	end(&b);
}

TEST_MAIN(copies, kept_trees)
