/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stage 1 without a boot loader: which generation boots, and whether the kernel that runs is its
 * own. */
#include "init/generation.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/bootenv.h"
#include "lib/fd.h"
#include "tests/unit/test.h"

static char top[256];

static void put(const char *path, const char *text)
{
	char file[512];
	struct err e = ERR_INIT;

	(void)snprintf(file, sizeof(file), "%s%s", top, path);
	CHECK_INT(file_write_atomic(AT_FDCWD, file, text, strlen(text), 0644, &e), 0);
}

static void link_to(const char *target, const char *path)
{
	char file[512];
	struct err e = ERR_INIT;

	(void)snprintf(file, sizeof(file), "%s%s", top, path);
	CHECK_INT(file_symlink_atomic(AT_FDCWD, target, file, &e), 0);
}

/* A generation: /gnu/store/NAME with these parts. */
static void add(unsigned number, const char *name, const char *kernel, const char *initrd,
		const char *arguments)
{
	char path[512], target[256], text[512];
	struct err e = ERR_INIT;

	(void)snprintf(path, sizeof(path), "%s/gnu/store/%s", top, name);
	CHECK_INT(file_mkdir_p(AT_FDCWD, path, 0755, &e), 0);
	(void)snprintf(path, sizeof(path), "/gnu/store/%s/kernel", name);
	link_to(kernel, path);
	(void)snprintf(path, sizeof(path), "/gnu/store/%s/initrd", name);
	link_to(initrd, path);
	(void)snprintf(path, sizeof(path), "/gnu/store/%s/parameters", name);
	(void)snprintf(text, sizeof(text), "%s cairn.system=/gnu/store/%s\n", arguments, name);
	put(path, text);
	(void)snprintf(path, sizeof(path), "/var/guix/profiles/system-%u-link", number);
	(void)snprintf(target, sizeof(target), "/gnu/store/%s", name);
	link_to(target, path);
}

static void begin(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[512];
	struct err e = ERR_INIT;

	(void)snprintf(top, sizeof(top), "%s/t_generation.XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(top) != NULL);
	(void)snprintf(path, sizeof(path), "%s/var/guix/profiles", top);
	CHECK_INT(file_mkdir_p(AT_FDCWD, path, 0755, &e), 0);
	add(1, "one", "/k", "/i", "root=LABEL=x quiet");
	add(2, "two", "/k", "/i", "root=LABEL=x quiet");
	link_to("system-2-link", "/var/guix/profiles/system");
}

static void end(void)
{
	struct err e = ERR_INIT;

	CHECK_INT(file_delete_tree(AT_FDCWD, top, NULL, &e), 0);
}

static int block(void)
{
	char file[512];

	(void)snprintf(file, sizeof(file), "%s/" BOOT_ENV_FILE, top);
	return open(file, O_RDWR | O_CLOEXEC);
}

static void check_boot(unsigned number, bool trial, unsigned left)
{
	struct root_spec s = { .choose = true };
	struct err e = ERR_INIT;

	if (generation_choose(top, &s, &e) < 0)
		TEST_FAIL("%s", e.msg);
	CHECK_INT(s.generation, number);
	CHECK_INT(s.trial, trial);
	if (trial)
		CHECK_INT(s.left, left);
	CHECK_STR(s.init, number == 1 ? "/gnu/store/one/init" : "/gnu/store/two/init");
}

TEST(three_tries)
{
	const struct boot_var good = { COUNT_GOOD, "1" };
	struct boot_count c;
	struct err e = ERR_INIT;

	begin();
	check_boot(2, false, 0); /* nothing to go back to; the block is made */
	auto_fd int fd = block();
	CHECK_INT(boot_count_get(fd, &c, &e), 0);
	CHECK(c.good == 0 && c.trial == 2 && c.left == 2);
	CHECK_INT(boot_env_update(fd, &good, 1, &e), 0);
	CHECK_INT(boot_count_set_trial(fd, 2, BOOT_TRIES, &e), 0);
	check_boot(2, true, 2);
	check_boot(2, true, 1);
	check_boot(2, true, 0);
	check_boot(1, false, 0);
	check_boot(1, false, 0);
	end();
}

/* Where nothing can be counted a trial would reboot for ever. */
TEST(not_written)
{
	const struct boot_var good = { COUNT_GOOD, "1" };
	struct root_spec s = { .choose = true, .is_volatile = true };
	struct boot_count c;
	struct err e = ERR_INIT;

	begin();
	check_boot(2, false, 0);
	auto_fd int fd = block();
	CHECK_INT(boot_env_update(fd, &good, 1, &e), 0);
	CHECK_INT(generation_choose(top, &s, &e), 0);
	CHECK(s.generation == 2 && !s.trial);
	CHECK_INT(boot_count_get(fd, &c, &e), 0);
	CHECK_INT(c.left, 2);
	end();
}

TEST(no_default)
{
	struct root_spec s = { .choose = true };
	struct err e = ERR_INIT;

	begin();
	link_to("elsewhere", "/var/guix/profiles/system");
	CHECK_INT(generation_choose(top, &s, &e), -ERR_INVALID);
	CHECK_STR(e.msg, "/var/guix/profiles/system names no generation");
	end();
}

TEST(same_kernel)
{
	begin();
	add(3, "kernel", "/other", "/i", "root=LABEL=x quiet");
	add(4, "initrd", "/k", "/other", "root=LABEL=x quiet");
	add(5, "words", "/k", "/i", "root=LABEL=x quiet more");
	CHECK(generation_same_kernel(top, "/gnu/store/one", "/gnu/store/two"));
	CHECK(generation_same_kernel(top, "/gnu/store/one", "/gnu/store/one"));
	CHECK(!generation_same_kernel(top, "/gnu/store/one", "/gnu/store/kernel"));
	CHECK(!generation_same_kernel(top, "/gnu/store/one", "/gnu/store/initrd"));
	CHECK(!generation_same_kernel(top, "/gnu/store/one", "/gnu/store/words"));
	CHECK(!generation_same_kernel(top, "/gnu/store/words", "/gnu/store/one"));
	CHECK(!generation_same_kernel(top, "", "/gnu/store/one"));
	CHECK(!generation_same_kernel(top, "/gnu/store/gone", "/gnu/store/one"));
	/* What follows cairn.system= may change everything. */
	put("/gnu/store/words/parameters",
	    "root=LABEL=x quiet cairn.system=/gnu/store/words init=/bin/sh\n");
	CHECK(!generation_same_kernel(top, "/gnu/store/one", "/gnu/store/words"));
	end();
}

/* kexec_file_load(2), which no test may really do: fails in this way. */
static int kexec_errno;

long syscall(long number, ...)
{
	long a[6];
	va_list ap;

	if (number == SYS_kexec_file_load) {
		errno = kexec_errno;
		return -1;
	}
	va_start(ap, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	__typeof__(&syscall) real = (__typeof__(&syscall))dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void check_kexec(const char *name, int failure, int want, bool damaged, const char *message)
{
	struct root_spec s = { .generation = 3, .trial = true, .left = 2 };
	struct err e = ERR_INIT;
	bool is_damaged = !damaged;

	kexec_errno = failure;
	(void)snprintf(s.system, sizeof(s.system), "/gnu/store/%s", name);
	CHECK_INT(generation_kexec(top, &s, &is_damaged, &e), want);
	CHECK_INT(is_damaged, damaged);
	CHECK_STR(e.msg, message);
}

/* Whose fault it is decides what stage 1 does: a kernel that nobody could start is a failure of the
 * generation; one that this machine does not let in is none. */
TEST(kexec_impossible)
{
	char file[512];

	begin();
	add(3, "other", "/bzImage", "/initrd", "quiet");
	put("/bzImage", "kernel");
	put("/initrd", "initramfs");
	check_kexec("other", EPERM, -EPERM, false, "kexec: Operation not permitted");
	check_kexec("other", ENOSYS, -ENOSYS, false, "kexec: Function not implemented");
	check_kexec("other", ENOEXEC, -ENOEXEC, true, "kexec: Exec format error");
	(void)snprintf(file, sizeof(file), "%s/initrd", top);
	CHECK_INT(unlink(file), 0);
	check_kexec("other", EPERM, -ENOENT, true,
		    "/gnu/store/other/initrd on the root file system: No such file or directory");
	(void)snprintf(file, sizeof(file), "%s/bzImage", top);
	CHECK_INT(unlink(file), 0);
	check_kexec("other", EPERM, -ENOENT, true,
		    "/gnu/store/other/kernel on the root file system: No such file or directory");
	end();
}

TEST_MAIN(three_tries, not_written, no_default, same_kernel, kexec_impossible)
