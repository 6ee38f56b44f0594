/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A directory of an EFI system partition has room for its names before anything starts from it, and
 * is not made larger later. The size that one would have on FAT, where it never shrinks, is
 * reckoned from its names.
 */
#include "tests/unit/bootworld.h"

#include <linux/magic.h>
#include <sys/vfs.h>

static const unsigned old[] = { 0, 1 }, new[] = { 0, 1, 2 };

static bool fat;	/* the partition is FAT */
static uint64_t *grown; /* bytes of EFI/cairn, which never shrinks; shared with what is cut off */

int fstatfs(int fd, struct statfs *st)
{
	int r = REAL(fstatfs)(fd, st);

	if (r == 0 && fat)
		st->f_type = MSDOS_SUPER_MAGIC;
	return r;
}

/* The largest that it was when somebody looked. */
static uint64_t size_on_fat(int fd)
{
	DIR *d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY));
	struct dirent *entry;
	uint64_t slots = 0;

	while (d && (entry = readdir(d)))
		slots += entry->d_name[0] == '.' ? 1 : 1 + (strlen(entry->d_name) + 12) / 13;
	if (d)
		closedir(d);
	uint64_t size = (slots * 32 + CLUSTER - 1) / CLUSTER * CLUSTER;
	if (size > *grown)
		*grown = size;
	return *grown;
}

int fstat(int fd, struct stat *st)
{
	int r = REAL(fstat)(fd, st);

	if (r == 0 && fat && S_ISDIR(st->st_mode) && faccessat(fd, "README.TXT", F_OK, 0) == 0)
		st->st_size = (off_t)size_on_fat(fd);
	return r;
}

static void empty_esp(void)
{
	char path[300];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s/boot", top);
	CHECK_INT(file_delete_tree(AT_FDCWD, path, NULL, &e), 0);
	put(ESP "/EFI/cairn/README.TXT", "somebody's", 10);
	*grown = 0;
}

static uint64_t size_now(void)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "%s" ESP "/EFI/cairn", top);
	auto_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fstat(dir, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int write_first(void *arg)
{
	struct sample s;
	struct err e = ERR_INIT;

	(void)arg;
	return boot_write_menu(&esp, sample(&s, 1, 2, old), &e);
}

/* The first menu, up to the n-th call; true when that is more than there are. */
static bool run_cut(int n)
{
	int r = run_cut_at(n, write_first, NULL);

	CHECK(r >= 0);
	return r == 0;
}

static void fat_make(void)
{
	machine_make(&esp);
	grown = mmap(NULL, sizeof(*grown), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (grown == MAP_FAILED)
		abort();
	fat = true;
	empty_esp();
}

/* Once it has a menu, the directory is not made larger. */
static void switches_fit(unsigned n)
{
	struct sample s;
	struct err e = ERR_INIT;

	for (unsigned i = 0; i < n; i++) {
		CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 3, new), &e), 0);
		CHECK_INT(size_now(), BOOT_DIR_SIZE);
		CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 2, old), &e), 0);
	}
	CHECK_INT(count_files(ESP "/EFI/cairn"), 4 + 4); /* README, two menus, block */
	CHECK_INT(size_now(), BOOT_DIR_SIZE);
}

/* By the first menu, however often that is cut off, and nothing is left of how it is made. */
TEST(room_for_names)
{
	bool through = false;
	int n = 0;

	fat_make();
	while (!through && n < 400) {
		empty_esp();
		through = run_cut(++n);
		switches_fit(1);
	}
	CHECK(through && n > 60);
	switches_fit(20);
	machine_remove();
}

TEST(room_when_claimed)
{
	struct err e = ERR_INIT;
	char path[300];

	fat_make();
	snprintf(path, sizeof(path), "%s" ESP, top);
	CHECK_INT(boot_claim(path, &e), 0);
	CHECK_INT(size_now(), BOOT_DIR_SIZE);
	CHECK_INT(count_files(ESP "/EFI/cairn"), 1);
	machine_remove();
}

/* One from before: a cut while it grows would be one in which a menu is there. */
TEST(room_not_later)
{
	struct sample s;
	struct err e = ERR_INIT;

	fat_make();
	fat = false;
	CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 2, old), &e), 0);
	fat = true;
	CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 3, new), &e), 0);
	CHECK(size_now() < BOOT_DIR_SIZE / 8);
	machine_remove();
}

TEST(room_is_counted)
{
	struct sample s;
	struct err e = ERR_INIT;

	fat_make();
	limited = true;
	taken = CAPACITY - used() - 2 * (KERNEL + INITRD) - BOOT_DIR_SIZE;
	CHECK_INT(boot_check_room(&esp, sample(&s, 1, 2, old), &e), -ERR_SPACE);
	fat = false;
	CHECK_INT(boot_check_room(&esp, &s.menu, &e), 0);
	machine_remove();
}

TEST_MAIN(room_for_names, room_when_claimed, room_not_later, room_is_counted)
