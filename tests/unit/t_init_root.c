/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stage 1: what it reads from the kernel's command line and from rootflags=. */
#include "init/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/size.h"
#include "tests/unit/test.h"

static struct root_spec parsed(const char *line)
{
	struct root_spec s;
	struct err e = ERR_INIT;

	memset(&s, 0, sizeof(s));
	if (root_parse(slice_of(line), &s, &e) < 0)
		TEST_FAIL("%s: %s", line, e.msg);
	return s;
}

TEST(usual)
{
	struct root_spec s = parsed("quiet root=LABEL=cairn-root rootfstype=ext4 rw console=ttyS0 "
				    "cairn.system=/gnu/store/x-system panic=5\n");

	CHECK_STR(s.root, "LABEL=cairn-root");
	CHECK_STR(s.type, "ext4");
	CHECK_STR(s.init, "/gnu/store/x-system/init");
	CHECK(!s.read_only && s.has_panic && !s.shell && !s.no_fsck);
	CHECK_INT(s.panic, 5);
	CHECK_INT(s.wait, 30);
}

TEST(later_ones_win)
{
	struct root_spec s =
		parsed("root=/dev/a ro root=/dev/b rw ro init=/bin/sh cairn.system=/s");

	CHECK_STR(s.root, "/dev/b");
	CHECK(s.read_only);
	CHECK_STR(s.init, "/bin/sh");
}

TEST(quotes_and_the_rest)
{
	struct root_spec s =
		parsed("root=\"LABEL=two words\" dyndbg=\"a root=/dev/no\" rootdelay=3x "
		       "cairn.rescue fsck.mode=skip -- root=/dev/never");

	CHECK_STR(s.root, "LABEL=two words");
	CHECK(s.shell && s.no_fsck);
	CHECK_INT(s.wait, 30); /* not a number: as if it were not there */
	CHECK_STR(s.init, "");
	CHECK_STR(parsed("").root, "");
}

TEST(trial_and_generation)
{
	struct root_spec s = parsed("generation=12 cairn.trial=0 cairn.watchdog=30 root=/dev/a");

	CHECK(s.trial && !s.has_panic);
	CHECK_INT(s.generation, 12);
	CHECK_INT(s.watchdog, 30);
	CHECK(!s.choose);
	s = parsed("generation=12 generation=default");
	CHECK(s.choose && !s.generation);
	s = parsed("generation=default generation=12");
	CHECK(!s.choose && s.generation == 12);
	s = parsed("generation=x cairn.watchdog=0x1 cairn.trials=1");
	CHECK(!s.trial && !s.choose);
	CHECK_INT(s.generation, 0);
	CHECK_INT(s.watchdog, 0);
}

/* What the boot loader put at the end counts, whatever is wrong before it. */
TEST(trial_after_an_error)
{
	auto_str struct str line = STR_INIT;
	struct root_spec s;
	struct err e = ERR_INIT;

	str_add(&line, "root=");
	for (int i = 0; i < 300; i++)
		str_addc(&line, 'x');
	str_add(&line, " cairn.trial=2");
	CHECK_INT(root_parse(str_slice(&line), &s, &e), -ERR_LIMIT);
	CHECK(s.trial);
}

TEST(generations)
{
	const char *tmp = getenv("TMPDIR");
	static const char *const names[] = { "system-10-link", "system-2-link", "system-x-link",
					     "system-link",    "system",	"system-3-linkx" };
	struct root_spec s = { .generation = 10, .init = "/wrong" };
	char dir[256], path[512];
	unsigned found[8];
	struct err e = ERR_INIT;

	(void)snprintf(dir, sizeof(dir), "%s/t_root.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(dir) != NULL);
	CHECK_INT(root_generations(dir, found, 8), 0);
	auto_fd int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(file_mkdir_p(root, "var/guix/profiles", 0755, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "var/guix/profiles/%s", names[i]);
		CHECK_INT(symlinkat("/gnu/store/x-system", root, path), 0);
	}
	CHECK_INT(symlinkat("system-2-link", root, "var/guix/profiles/system-7-link"), 0);
	CHECK_INT(root_generations(dir, found, 8), 3);
	CHECK(found[0] == 2 && found[1] == 7 && found[2] == 10);
	CHECK_INT(root_generations(dir, found, 1), 1);
	CHECK_INT(root_generation(dir, &s, &e), 0);
	CHECK_STR(s.system, "/gnu/store/x-system");
	CHECK_STR(s.init, "/gnu/store/x-system/init");
	s.generation = 7;
	CHECK_INT(root_generation(dir, &s, &e), -ERR_INVALID);
	s.generation = 4;
	CHECK_INT(root_generation(dir, &s, &e), -ERR_NOTFOUND);
	CHECK_STR(e.msg, "there is no generation 4");
	CHECK_STR(s.init, "/gnu/store/x-system/init"); /* untouched */
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, &e), 0);
}

/* A system is there, with n bytes of init and m of the set; -1: not at all. */
static int check_system(const char *init, ssize_t n, const char *set, ssize_t m)
{
	struct root_spec s = { .system = "/gnu/store/x-system",
			       .init = "/gnu/store/x-system/init" };
	const char *tmp = getenv("TMPDIR");
	struct err e = ERR_INIT;
	char dir[256];

	(void)snprintf(dir, sizeof(dir), "%s/t_root.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(dir) != NULL);
	auto_fd int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(file_mkdir_p(root, "gnu/store/x-system", 0755, &e), 0);
	CHECK_INT(file_mkdir_p(root, "gnu/store/x-services", 0755, &e), 0);
	/* Links are those of the root. */
	CHECK_INT(symlinkat("/gnu/store/x-services", root, "gnu/store/x-system/services"), 0);
	CHECK_INT(symlinkat("/gnu/store/x-init", root, "gnu/store/x-system/init"), 0);
	if (n >= 0)
		CHECK_INT(file_write_atomic(root, "gnu/store/x-init", init, (size_t)n, 0755, &e),
			  0);
	if (m >= 0)
		CHECK_INT(file_write_atomic(root, "gnu/store/x-services/set", set, (size_t)m, 0644,
					    &e),
			  0);
	int r = root_check_system(dir, &s, &e);
	CHECK_INT(r, r < 0 ? e.code : 0);
	CHECK_INT(file_delete_tree(AT_FDCWD, dir, NULL, &e), 0);
	return r;
}

TEST(whole_systems)
{
	static const char elf[] = "\177ELF\2\1\1", set[] = "gate = boot-good\n", zeroes[64];

	CHECK_INT(check_system(elf, 7, set, 17), 0);
	CHECK_INT(check_system(elf, -1, set, 17), -ENOENT);
	CHECK_INT(check_system(elf, 0, set, 17), -ERR_INVALID);
	CHECK_INT(check_system(zeroes, 64, set, 17), -ERR_INVALID);
	CHECK_INT(check_system(elf, 7, set, -1), -ENOENT);
	CHECK_INT(check_system(elf, 7, set, 0), -ERR_INVALID);
	CHECK_INT(check_system(elf, 7, zeroes, 64), -ERR_INVALID);
}

TEST(too_long)
{
	char line[6000];
	struct root_spec s;
	struct err e = ERR_INIT;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	memcpy(line, "root=", 5);
	CHECK_INT(root_parse(slice_of(line), &s, &e), -ERR_LIMIT);
	memcpy(line, "cairn.system=", 13);
	line[4090] = '\0';
	CHECK_INT(root_parse(slice_of(line), &s, &e), 0);
	line[4090] = 'x';
	line[4106] = '\0'; /* fits, with "/init" behind it does not */
	CHECK_INT(root_parse(slice_of(line), &s, &e), -ERR_LIMIT);
}

TEST(flags)
{
	char data[64];

	CHECK_INT(root_mount_flags("", data), 0);
	CHECK_STR(data, "");
	CHECK_INT(root_mount_flags("noatime,data=ordered,ro,,commit=5,rw", data), MS_NOATIME);
	CHECK_STR(data, "data=ordered,commit=5");
	CHECK_INT(root_mount_flags("defaults,ro", data), MS_RDONLY);
	CHECK_STR(data, "");
	/* What the kernel would not know as data of a file system. */
	CHECK_INT(root_mount_flags("exec,dev,suid,async,atime,diratime,norelatime,nolazytime,"
				   "nostrictatime,nomand,loud",
				   data),
		  0);
	CHECK_STR(data, "");
	CHECK_INT(root_mount_flags("nosuid,noexec,nodev,exec,sync,async,executor", data),
		  MS_NOSUID | MS_NODEV);
	CHECK_STR(data, "executor");
}

TEST(roots_that_are_not_written)
{
	struct root_spec s = parsed("root=UUID=x ro cairn.image=/root.squashfs cairn.volatile");

	CHECK_STR(s.image, "/root.squashfs");
	CHECK(s.is_volatile);
	s = parsed("root=UUID=x cairn.volatile=no");
	CHECK(!s.is_volatile);
	CHECK_STR(s.store, "");
	s = parsed("root=LABEL=x cairn.store=tag-1");
	CHECK_STR(s.store, "tag-1");
}

TEST_MAIN(whole_systems, roots_that_are_not_written, usual, later_ones_win, quotes_and_the_rest,
	  trial_and_generation, trial_after_an_error, generations, too_long, flags)
