/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Activation, ended or failed at every call that changes the disk. Whenever that is, who could log
 * in still can: each file of accounts is the old or the new one, whole. Done once more, everything
 * is as it is to be.
 */
#include "system/activate.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "lib/str.h"
#include "system/secrets.h"
#include "tests/unit/faults.h"
#include "tests/unit/test.h"

/* What faults.h leaves out. */
ssize_t write(int fd, const void *p, size_t n)
{
	return fd > 2 && tick() ? -1 : REAL(write)(fd, p, n);
}

int mkdir(const char *path, mode_t mode)
{
	return tick() ? -1 : REAL(mkdir)(path, mode);
}

int rename(const char *a, const char *b)
{
	return tick() ? -1 : REAL(rename)(a, b);
}

int renameat2(int a, const char *x, int b, const char *y, unsigned flags)
{
	return tick() ? -1 : REAL(renameat2)(a, x, b, y, flags);
}

int fchmod(int fd, mode_t mode)
{
	return tick() ? -1 : REAL(fchmod)(fd, mode);
}

/* Does a file that is read in parts stay in one place? Behind each part is something else, so that
 * a buffer which must grow has to move. */
static const void *read_next; /* where the next part goes; NULL: the first one */
static bool has_moved;
static void *wall;

ssize_t read(int fd, void *p, size_t n)
{
	ssize_t got = REAL(read)(fd, p, n);

	has_moved = has_moved || (read_next && got > 0 && p != read_next);
	read_next = got > 0 ? (const char *)p + got : NULL;
	free(wall);
	wall = malloc(n);
	return got;
}

/* ---- A machine --------------------------------------------------------------------------------
 */

#define ONE "/gnu/store/11111111111111111111111111111111-system"
#define TWO "/gnu/store/22222222222222222222222222222222-system"

static char top[64];
static struct sys_root root = { top, top };

static void put(const char *dir, const char *name, const char *text, mode_t mode)
{
	struct err e = ERR_INIT;
	char path[256];

	snprintf(path, sizeof(path), "%s%s", top, dir);
	CHECK_INT(file_mkdir_p(AT_FDCWD, path, 0755, &e), 0);
	snprintf(path, sizeof(path), "%s%s/%s", top, dir, name);
	CHECK_INT(file_write_atomic(AT_FDCWD, path, text, strlen(text), mode, &e), 0);
}

static void make_system(const char *system, const char *accounts, const char *greeting)
{
	static const char *const empty[] = { "facts", "init", "kernel", "initrd" };
	char dir[128];

	for (size_t i = 0; i < ARRAY_LEN(empty); i++)
		put(system, empty[i], "", 0644);
	put(system, "accounts", accounts, 0644);
	put(system, "activation",
	    "[directory /var/lib/web]\n[link /bin/sh]\ntarget = /run/sh\n"
	    "[privileged su]\nprogram = /gnu/store/su\nsetuid = yes\n",
	    0644);
	put(system, "secrets", "[secret psk]\nsource = /etc/psk\n", 0644);
	snprintf(dir, sizeof(dir), "%s/boot", system);
	put(dir, "entry", "", 0644);
	put(dir, "menu", "", 0644);
	snprintf(dir, sizeof(dir), "%s/services", system);
	put(dir, "set", "", 0644);
	snprintf(dir, sizeof(dir), "%s/etc", system);
	put(dir, "greeting", greeting, 0644);
	snprintf(dir, sizeof(dir), "%s/skeletons", system);
	put(dir, ".profile", "hello\n", 0644);
}

#define ROOT "[group root]\nid = 0\n[user root]\nid = 0\nhome = /root\n"

static void machine_make(void)
{
	struct err e = ERR_INIT;

	snprintf(top, sizeof(top), "/dev/shm/cairn-activate-XXXXXX");
	if (!mkdtemp(top)) {
		snprintf(top, sizeof(top), "/tmp/cairn-activate-XXXXXX");
		CHECK(mkdtemp(top) != NULL);
	}
	make_system(ONE, ROOT "[group old]\n[user old]\ngroup = old\n", "one\n");
	make_system(TWO,
		    ROOT
		    "[group new]\n[user new]\ngroup = new\nhome = /home/new\ncreate-home = yes\n"
		    "subids = 100\n",
		    "two\n");
	put("/gnu/store", "su", "su\n", 0755);
	put("/etc", "psk", "value\n", 0600);
	CHECK_INT(sys_activate(&root, ONE, &e), 0);
	put("/etc", "shadow", "root:$6$changed:1::::::\nold:$6$old:1::::::\n", 0600);
}

static void machine_remove(void)
{
	struct err e = ERR_INIT;

	CHECK_INT(file_delete_tree(AT_FDCWD, top, NULL, &e), 0);
}

static bool is(const char *path, const char *wanted)
{
	auto_str struct str text = STR_INIT;
	struct err e = ERR_INIT;
	char full[256];

	snprintf(full, sizeof(full), "%s%s", top, path);
	return file_read(AT_FDCWD, full, &text, 1 << 16, &e) == 0 && strcmp(text.buf, wanted) == 0;
}

static bool leads(const char *path, const char *wanted)
{
	auto_str struct str target = STR_INIT;
	struct err e = ERR_INIT;
	char full[256];

	snprintf(full, sizeof(full), "%s%s", top, path);
	return file_readlink(AT_FDCWD, full, &target, &e) == 0 && strcmp(target.buf, wanted) == 0;
}

static const struct {
	const char *path, *old, *new;
} files[] = {
	{ "/etc/passwd", "root:x:0:0::/root:/bin/sh\nold:x:1000:1000::/:/bin/sh\n",
	  "root:x:0:0::/root:/bin/sh\nnew:x:1001:1001::/home/new:/bin/sh\n" },
	{ "/etc/group", "root:x:0:\nold:x:1000:\n", "root:x:0:\nnew:x:1001:\n" },
	{ "/etc/shadow", "root:$6$changed:1::::::\nold:$6$old:1::::::\n",
	  "root:$6$changed:1::::::\nnew:!:1::::::\n" },
};

/* Old or new, whole. */
static void check_whole(int n)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (!is(files[i].path, files[i].old) && !is(files[i].path, files[i].new))
			TEST_FAIL("call %d: %s is neither the old nor the new one", n,
				  files[i].path);
	}
	if (!is("/run/secrets/psk", "value\n"))
		TEST_FAIL("call %d: a service lost its secret", n);
	if (!is("/run/privileged/bin/su", "su\n"))
		TEST_FAIL("call %d: a privileged program is gone", n);
}

/* Once more, undisturbed. */
static void check_done(int n)
{
	struct err e = ERR_INIT;

	if (sys_activate(&root, TWO, &e) < 0)
		TEST_FAIL("call %d: once more: %s", n, e.msg);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (!is(files[i].path, files[i].new))
			TEST_FAIL("call %d: %s is not the new one", n, files[i].path);
	}
	if (!leads("/etc/static", TWO "/etc") || !leads("/run/current-system", TWO) ||
	    !leads("/etc/greeting", "/etc/static/greeting"))
		TEST_FAIL("call %d: /etc is not that of the new one", n);
	if (!is("/home/new/.profile", "hello\n"))
		TEST_FAIL("call %d: half a home", n);
	if (!is("/var/lib/cairn/shadow", "old:$6$old:1::::::\n"))
		TEST_FAIL("call %d: the password of who is gone", n);
	if (!is("/etc/subuid", "new:100000:100\n"))
		TEST_FAIL("call %d: subuid", n);
}

TEST(sys_05_ended_at_every_call)
{
	bool through = false;
	int n = 1;

	for (; n < 400 && !through; n++) {
		struct err e = ERR_INIT;
		int status = 0;
		pid_t pid;

		machine_make();
		pid = fork();
		if (pid == 0) {
			countdown = n;
			failure = 0;
			_exit(sys_activate(&root, TWO, &e) == 0 ? 0 : 1);
		}
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
		through = WIFEXITED(status) && WEXITSTATUS(status) == 0;
		check_whole(n);
		check_done(n);
		machine_remove();
	}
	CHECK(through);
	CHECK(n > 40);
}

/* A directory may be there already, as what is removed before it is written may not. */
static bool may_fail(void)
{
	return strcmp(failed_call, "mkdirat") == 0 ||
	       (strcmp(failed_call, "unlinkat") == 0 && strcmp(failed_name, ".psk") == 0);
}

/* Full, and broken: each time it is told. */
TEST(sys_05_a_disk_that_is_full_or_broken_at_every_call)
{
	bool through = false;
	int failed = 0;

	for (int n = 2; n < 800 && !through; n++) {
		struct err e = ERR_INIT;
		int rc;

		machine_make();
		countdown = n / 2;
		failure = n % 2 ? ENOSPC : EIO;
		rc = sys_activate(&root, TWO, &e);
		through = countdown > 0;
		countdown = 0;
		failed += rc < 0;
		if (!through && rc == 0 && !may_fail())
			TEST_FAIL("nobody is told that %s(%s) failed", failed_call, failed_name);
		check_whole(n);
		check_done(n);
		machine_remove();
	}
	CHECK(through);
	CHECK(failed > 40);
}

/* Kept by a switch that failed, it belongs to no generation: what is in the file now counts. */
TEST(a_secret_that_was_corrected_after_a_failed_switch)
{
	struct err e = ERR_INIT;

	machine_make();
	put("/etc", "psk", "wrong\n", 0600);
	CHECK_INT(secrets_keep(&root, TWO, &e), 0);
	put("/etc", "psk", "right\n", 0600);
	CHECK_INT(secrets_keep(&root, TWO, &e), 0);
	CHECK_INT(sys_activate(&root, TWO, &e), 0);
	CHECK(is("/run/secrets/psk", "right\n"));
	put("/etc", "psk", "later\n", 0600);
	CHECK_INT(sys_activate(&root, TWO, &e), 0);
	CHECK(is("/run/secrets/psk", "right\n"));
	machine_remove();
}

/* Else copies of it would stay in memory that was given back. */
TEST(the_value_of_a_secret_never_moves)
{
	static char value[60000];
	struct err e = ERR_INIT;

	machine_make();
	memset(value, 'v', sizeof(value) - 1);
	put("/etc", "psk", value, 0600);
	read_next = NULL;
	has_moved = false;
	CHECK_INT(secrets_check(&root, TWO, &e), 0);
	CHECK(!has_moved);
	CHECK_INT(secrets_keep(&root, TWO, &e), 0);
	CHECK(!has_moved);
	CHECK_INT(sys_activate(&root, TWO, &e), 0);
	CHECK(!has_moved);
	machine_remove();
}

TEST_MAIN(sys_05_ended_at_every_call, sys_05_a_disk_that_is_full_or_broken_at_every_call,
	  a_secret_that_was_corrected_after_a_failed_switch, the_value_of_a_secret_never_moves)
