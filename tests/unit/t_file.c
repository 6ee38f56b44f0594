/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "tests/unit/test.h"

/* Each test works in a directory of its own below TMP. */
static int scratch(char out[PATH_MAX])
{
	const char *top = getenv("TMP") ? getenv("TMP") : "/tmp";

	path_join(out, top, "t_file-XXXXXX");
	if (!mkdtemp(out))
		return -1;
	return open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void scratch_done(const char *dir)
{
	struct err e = ERR_INIT;

	if (file_delete_tree(AT_FDCWD, dir, NULL, &e) < 0)
		TEST_FAIL("%s", e.msg);
	CHECK_INT(access(dir, F_OK), -1);
}

static mode_t mode_of(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode;
}

TEST(write_and_read)
{
	auto_str struct str got = STR_INIT;
	struct err e = ERR_INIT;
	char dir[PATH_MAX];
	auto_fd int fd = scratch(dir);

	umask(077);
	CHECK_INT(file_write_atomic(fd, "f", "one", 3, 0644, &e), 0);
	umask(022);
	CHECK_INT(mode_of(fd, "f"), S_IFREG | 0644);
	CHECK_INT(file_write_atomic(fd, "f", "second", 6, 0600, &e), 0);
	CHECK_INT(file_read(fd, "f", &got, 100, &e), 0);
	CHECK_STR(got.buf, "second");
	CHECK_INT(mode_of(fd, "f"), S_IFREG | 0600);
	CHECK_INT(file_read(fd, "f", &got, 5, &e), -ERR_LIMIT);
	CHECK_STR(e.msg, "f is larger than 5 bytes");
	CHECK_INT(file_read(fd, "none", &got, 5, &e), -ENOENT);
	CHECK_STR(e.msg, "cannot open none: No such file or directory");
	scratch_done(dir);
}

/* A failed write leaves no temporary file behind. */
TEST(failed_writes_leave_nothing)
{
	struct err e = ERR_INIT;
	char dir[PATH_MAX];
	auto_fd int fd = scratch(dir);

	CHECK_INT(mkdirat(fd, "d", 0755), 0);
	CHECK_INT(file_write_atomic(fd, "d", "x", 1, 0644, &e), -EISDIR);
	CHECK(strstr(e.msg, "to d: Is a directory") != NULL);
	CHECK_INT(file_symlink_atomic(fd, "t", "d", &e), -EISDIR);
	CHECK_INT(file_write_atomic(fd, "none/x", "x", 1, 0644, &e), -ENOENT);
	CHECK_INT(unlinkat(fd, "d", AT_REMOVEDIR), 0);
	CHECK_INT(rmdir(dir), 0);
}

TEST(symlinks)
{
	auto_str struct str got = STR_INIT;
	char dir[PATH_MAX], target[3000];
	struct err e = ERR_INIT;
	auto_fd int fd = scratch(dir);

	CHECK_INT(file_symlink_atomic(fd, "first", "l", &e), 0);
	CHECK_INT(file_symlink_atomic(fd, "second", "l", &e), 0);
	CHECK_INT(file_readlink(fd, "l", &got, &e), 0);
	CHECK_STR(got.buf, "second");
	memset(target, 'x', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	str_cut(&got, 0);
	CHECK_INT(file_symlink_atomic(fd, target, "long", &e), 0);
	CHECK_INT(file_readlink(fd, "long", &got, &e), 0);
	CHECK_STR(got.buf, target);
	CHECK_INT(file_readlink(fd, "none", &got, &e), -ENOENT);
	scratch_done(dir);
}

TEST(what_was_cut_off_is_swept)
{
	static const char *const left[] = { ".tmp-0123456789abcdef" }, *const others[] = {
		"grubenv", ".tmp-", ".tmp-0123456789abcdeg", ".tmp-0123456789abcdef0",
		".tmp-dir-1-00000000"
	};
	char dir[PATH_MAX];
	struct err e = ERR_INIT;
	auto_fd int fd = scratch(dir);

	CHECK_INT(file_write_atomic(fd, left[0], "", 0, 0644, &e), 0);
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		CHECK_INT(file_write_atomic(fd, others[i], "", 0, 0644, &e), 0);
	file_sweep_temps(fd);
	CHECK_INT(mode_of(fd, left[0]), 0);
	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		CHECK(S_ISREG(mode_of(fd, others[i])));
	scratch_done(dir);
}

TEST(directories)
{
	struct err e = ERR_INIT;
	char dir[PATH_MAX], abs[PATH_MAX];
	auto_fd int fd = scratch(dir);

	CHECK_INT(file_mkdir_p(fd, "a/b//c/", 0755, &e), 0);
	CHECK(S_ISDIR(mode_of(fd, "a/b/c")));
	CHECK_INT(file_mkdir_p(fd, "a/b/c", 0755, &e), 0);
	CHECK_INT(path_join(abs, dir, "x/y"), 0);
	CHECK_INT(file_mkdir_p(AT_FDCWD, abs, 0755, &e), 0);
	CHECK(S_ISDIR(mode_of(fd, "x/y")));
	CHECK_INT(file_mkdir_p(AT_FDCWD, "/", 0755, &e), 0);
	CHECK_INT(file_write_atomic(fd, "a/f", "", 0, 0644, &e), 0);
	CHECK_INT(file_mkdir_p(fd, "a/f", 0755, &e), -ENOTDIR);
	CHECK(file_mkdir_p(fd, "a/f/g", 0755, &e) < 0);
	CHECK_INT(file_sync(fd, "a", &e), 0);
	scratch_done(dir);
}

TEST(delete_does_not_follow_links)
{
	char dir[PATH_MAX];
	struct err e = ERR_INIT;
	uint64_t bytes = 0;
	auto_fd int fd = scratch(dir);

	CHECK_INT(file_mkdir_p(fd, "keep/in", 0755, &e), 0);
	CHECK_INT(file_mkdir_p(fd, "t/a/b", 0755, &e), 0);
	CHECK_INT(symlinkat("../../keep", fd, "t/a/link"), 0);
	CHECK_INT(symlinkat("/nonexistent", fd, "t/dangling"), 0);
	CHECK_INT(file_write_atomic(fd, "t/a/b/f", "data", 4, 0400, &e), 0);
	CHECK_INT(fchmodat(fd, "t/a/b", 0, 0), 0);
	CHECK_INT(fchmodat(fd, "t/a", 0555, 0), 0);
	CHECK_INT(file_delete_tree(fd, "t", &bytes, &e), 0);
	CHECK(bytes >= 512);
	CHECK_INT(mode_of(fd, "t"), 0);
	CHECK(S_ISDIR(mode_of(fd, "keep/in")));
	CHECK_INT(file_delete_tree(fd, "t", &bytes, &e), 0);
	CHECK_INT(symlinkat("keep", fd, "l"), 0);
	CHECK_INT(file_delete_tree(fd, "l", NULL, &e), 0);
	CHECK(S_ISDIR(mode_of(fd, "keep/in")));
	scratch_done(dir);
}

/* Nested directories d/d/d/…, some that lack permissions, each with a file. */
static int make_deep(int dirfd, const char *name, unsigned levels, mode_t mode)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; fd >= 0 && i < levels; i++) {
		const char *part = i ? "d" : name;
		int next = mkdirat(fd, part, 0700) < 0
				   ? -1
				   : openat(fd, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (next >= 0 && i % 100 == 99) {
			CHECK_INT(mkdirat(next, "side", 0700), 0);
			CHECK_INT(symlinkat("..", next, "link"), 0);
			CHECK_INT(fchmod(fd, mode), 0);
		}
		close(fd);
		fd = next;
	}
	return fd < 0 ? -errno : close(fd);
}

TEST(deep_trees_are_deleted)
{
	struct rlimit few = { 100, 100 }, old;
	struct err e = ERR_INIT;
	char dir[PATH_MAX];
	auto_fd int fd = scratch(dir);

	CHECK_INT(make_deep(fd, "t", 800, 0), 0);
	CHECK_INT(mkdirat(fd, "t/.deep-0", 0700), 0);
	CHECK_INT(mkdirat(fd, "t/.deep-0/x", 0700), 0);
	CHECK_INT(make_deep(fd, "t/.deep-0/y", 300, 0500), 0);
	CHECK_INT(symlinkat("x", fd, "t/.deep-1"), 0);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	if (file_delete_tree(fd, "t", NULL, &e) < 0)
		TEST_FAIL("%s", e.msg);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &old), 0);
	CHECK_INT(mode_of(fd, "t"), 0);
	scratch_done(dir);
}

/* ---- What is on the disk --------------------------------------------------------------------- */

static int watched = -1;   /* directory in which a file is written; -1: none */
static int sync_fails;	   /* the n-th; 0: none */
static char synced[8][32]; /* what was synced, and what the file had then */
static size_t nsynced;

static void note_sync(int fd)
{
	auto_str struct str now = STR_INIT;
	struct err e = ERR_INIT;
	struct stat st;

	CHECK_INT(fstat(fd, &st), 0);
	(void)file_read(watched, "f", &now, 16, &e); /* or there is none */
	(void)snprintf(synced[nsynced++ % 8], sizeof(*synced), "%s %s",
		       S_ISDIR(st.st_mode) ? "directory" : "file", now.len ? now.buf : "none");
}

int fsync(int fd)
{
	int (*real)(int) = (__typeof__(real))dlsym(RTLD_NEXT, "fsync");

	if (watched < 0)
		return real(fd);
	note_sync(fd);
	if (sync_fails && --sync_fails == 0)
		return errno = EIO, -1;
	return real(fd);
}

/* A file is on the disk before it has its name, and its name before anybody is told. */
TEST(sys_05_synced_before_the_name)
{
	struct err e = ERR_INIT;
	char dir[PATH_MAX];
	auto_fd int fd = scratch(dir);

	CHECK_INT(file_write_atomic(fd, "f", "old", 3, 0600, &e), 0);
	watched = fd;
	nsynced = 0;
	CHECK_INT(file_write_atomic(fd, "f", "new", 3, 0600, &e), 0);
	CHECK_INT(nsynced, 2);
	CHECK_STR(synced[0], "file old");
	CHECK_STR(synced[1], "directory new");
	CHECK_INT(file_symlink_atomic(fd, "somewhere", "l", &e), 0);
	CHECK_INT(nsynced, 3);
	CHECK_STR(synced[2], "directory new");
	CHECK_INT(file_sync(fd, "f", &e), 0);
	CHECK_INT(nsynced, 4);
	CHECK_STR(synced[3], "file new");
	watched = -1;
	scratch_done(dir);
}

TEST(sys_05_a_sync_that_fails)
{
	auto_str struct str got = STR_INIT;
	struct err e = ERR_INIT;
	char dir[PATH_MAX];
	auto_fd int fd = scratch(dir);

	CHECK_INT(file_write_atomic(fd, "f", "old", 3, 0600, &e), 0);
	watched = fd;
	sync_fails = 1;
	CHECK_INT(file_write_atomic(fd, "f", "new", 3, 0600, &e), -EIO);
	CHECK(strstr(e.msg, "cannot sync ") != NULL);
	CHECK_INT(file_read(fd, "f", &got, 100, &e), 0);
	CHECK_STR(got.buf, "old");
	sync_fails = 2;
	CHECK_INT(file_write_atomic(fd, "f", "new", 3, 0600, &e), -EIO);
	sync_fails = 1;
	CHECK_INT(file_symlink_atomic(fd, "somewhere", "l", &e), -EIO);
	sync_fails = 1;
	CHECK_INT(file_sync(fd, "f", &e), -EIO);
	watched = -1;
	CHECK_INT(unlinkat(fd, "f", 0), 0);
	CHECK_INT(unlinkat(fd, "l", 0), 0);
	CHECK_INT(rmdir(dir), 0); /* and nothing else is there */
}

TEST_MAIN(write_and_read, failed_writes_leave_nothing, symlinks, what_was_cut_off_is_swept,
	  directories, delete_does_not_follow_links, deep_trees_are_deleted,
	  sys_05_synced_before_the_name, sys_05_a_sync_that_fails)
