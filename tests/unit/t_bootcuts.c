/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A menu is changed, and every call that changes the disk is the last or fails: the old state or
 * the new one is there, whole.
 */

#include "lib/size.h"
#include "tests/unit/bootworld.h"

static const unsigned old_kernels[] = { 0, 1 }, new_kernels[] = { 0, 1, 2 };

/* Kernels of the menu in place are there, and no others. */
static void check_files(size_t n)
{
	char path[512];
	struct dirent *entry;

	if (place->type == BOOT_EFI) {
		snprintf(path, sizeof(path), "%s" ESP "/EFI/cairn/" EM_FILE_2, top);
		CHECK_INT(count_files(ESP "/EFI/cairn"), 3 + n + (access(path, F_OK) == 0));
		CHECK_INT(count_files(ESP "/EFI/BOOT"), 1);
		return;
	}
	CHECK_INT(count_files("/boot/cairn"), 1);
	snprintf(path, sizeof(path), "%s/boot/cairn", top);
	DIR *d = opendir(path);
	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.') {
			snprintf(path, sizeof(path), "/boot/cairn/%s", entry->d_name);
			CHECK_INT(count_files(path), n);
		}
	if (d)
		closedir(d);
	CHECK_INT(count_files("/boot/grub"), 2);
}

static void check_bootable(const struct sample *s, const char *what, int n)
{
	unsigned now = starts(&s->menu);

	if (now != 2 && now != 3)
		TEST_FAIL("%s %d: the menu starts generation %u", what, n, now);
	if (place->type != BOOT_GRUB)
		return;
	now = text_starts(flushed->text, &s->menu);
	if (now != 2 && now != 3)
		TEST_FAIL("%s %d: the menu of the last flush starts generation %u", what, n, now);
}

/* The old state is there, or the new one. Then another run ends well, and cleans up. */
static void check_either(struct sample *s, const char *what, int n)
{
	struct err e = ERR_INIT;

	sample(s, 1, 3, new_kernels);
	check_bootable(s, what, n);
	CHECK_INT(boot_write_menu(place, &s->menu, &e), 0);
	CHECK_INT(starts(&s->menu), 3);
	check_files(6);
}

static int write_it(void *menu)
{
	struct err e = ERR_INIT;

	return boot_write_menu(place, menu, &e);
}

static bool run_cut(struct boot_menu *m, int n)
{
	int r = run_cut_at(n, write_it, m);

	CHECK(r >= 0);
	return r == 0;
}

/* A machine is given generations 1 and 2, and nothing else below /boot. */
static void two_make(int kind_of_links)
{
	char path[300];
	struct sample s;
	struct err e = ERR_INIT;

	countdown = 0;
	snprintf(path, sizeof(path), "%s/boot", top);
	CHECK_INT(file_delete_tree(AT_FDCWD, path, NULL, &e), 0);
	if (place->type == BOOT_EFI)
		put(ESP "/EFI/cairn/README.TXT", "somebody's", 10);
	links = kind_of_links;
	CHECK_INT(boot_write_menu(place, sample(&s, 1, 2, old_kernels), &e), 0);
	if (place->type == BOOT_EFI) /* of an earlier version */
		put(ESP "/EFI/BOOT/BOOTX64.EFI", EM_HEAD, strlen(EM_HEAD));
}

static void cut_each(const struct boot_place *p, int kind_of_links)
{
	bool through = false;
	int n = 0;

	machine_make(p);
	while (!through && n < 200) {
		struct sample s;

		two_make(kind_of_links);
		through = run_cut(sample(&s, 1, 3, new_kernels), ++n);
		check_either(&s, "cut", n);
	}
	machine_remove();
	CHECK(through && n > 10);
}

TEST(boot_01_cut_at_every_step)
{
	cut_each(&esp, NO_LINKS);
	cut_each(&grub, LINKS);
	cut_each(&grub, FAR_LINKS);
	cut_each(&grub, NO_LINKS);
}

/* Of a kernel that cannot be linked a copy is made, and a directory may be there already. All else
 * that fails is told. */
static bool may_fail(void)
{
	return strcmp(failed_call, "mkdirat") == 0 ||
	       (strcmp(failed_call, "linkat") == 0 &&
		(strstr(failed_name, "-kernel") || strstr(failed_name, "-initrd")));
}

static void check_told(const struct boot_menu *m, int r)
{
	if (r == 0 && !may_fail())
		TEST_FAIL("nobody is told that %s(%s) failed", failed_call, failed_name);
	if (r == 0)
		CHECK_INT(starts(m), 3);
}

static void fail_each(const struct boot_place *p, int kind_of_links, int reason)
{
	bool through = false;
	int n = 0;

	machine_make(p);
	for (; !through && n < 200; n++) {
		struct sample s;
		struct err e = ERR_INIT;

		two_make(kind_of_links);
		countdown = n + 1;
		failure = reason;
		int r = boot_write_menu(p, sample(&s, 1, 3, new_kernels), &e);
		through = countdown > 0;
		countdown = 0;
		if (!through)
			check_told(&s.menu, r);
		check_either(&s, "failure", n);
	}
	machine_remove();
	CHECK(through && n > 10);
}

TEST(boot_04_failure_at_every_step)
{
	static const int reasons[] = { EIO, ENOSPC };

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		fail_each(&esp, NO_LINKS, reasons[i]);
		fail_each(&grub, LINKS, reasons[i]);
		fail_each(&grub, FAR_LINKS, reasons[i]);
		fail_each(&grub, NO_LINKS, reasons[i]);
	}
}

static int drops; /* files that are still read back as they are */

/* The disk has another byte than was written. */
static void damage(int fd)
{
	char c;

	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return;
	if (--drops == 0 && pread(fd, &c, 1, 0) == 1) {
		c ^= 1;
		CHECK_INT(pwrite(fd, &c, 1, 0), 1);
	}
}

static void damage_each(const struct boot_place *p, int kind_of_links, int want)
{
	int n = 0;

	machine_make(p);
	for (;; n++) {
		struct sample s;
		struct err e = ERR_INIT;

		two_make(kind_of_links);
		drops = n + 1;
		on_drop = damage;
		int r = boot_write_menu(p, sample(&s, 1, 3, new_kernels), &e);
		on_drop = NULL;
		if (drops > 0)
			break;
		CHECK_INT(r, -EIO);
		CHECK(strstr(e.msg, " is not what was written"));
		CHECK_INT(starts(&s.menu), 2);
		check_either(&s, "damage", n);
	}
	machine_remove();
	CHECK_INT(n, want);
}

/* Everything that is written is read back: a kernel, its initramfs, the menu, the program. */
TEST(boot_04_what_the_disk_has_is_not_what_was_written)
{
	damage_each(&esp, NO_LINKS, 4);
	damage_each(&grub, LINKS, 1);
	damage_each(&grub, NO_LINKS, 7); /* a set has all kernels anew */
}

static struct {
	char path[512];
	struct str text; /* what the disk has */
	bool lost;	 /* which is not what was written */
} slots[2];

static void slots_read(void)
{
	static const char *const names[] = { EM_FILE, EM_FILE_2 };
	struct err e = ERR_INIT;

	for (int i = 0; i < 2; i++) {
		snprintf(slots[i].path, sizeof(slots[i].path), "%s" ESP "/EFI/cairn/%s", top,
			 names[i]);
		slots[i].lost = false;
		str_done(&slots[i].text);
		CHECK_INT(file_read(AT_FDCWD, slots[i].path, &slots[i].text, 1 << 20, &e), 0);
	}
}

/* A write that failed is in memory only. */
static bool slots_lose(void)
{
	bool any = false;

	for (int i = 0; i < 2; i++) {
		auto_str struct str now = STR_INIT;
		CHECK_INT(file_read(AT_FDCWD, slots[i].path, &now, 1 << 20, NULL), 0);
		slots[i].lost = !slice_eq(str_slice(&now), str_slice(&slots[i].text));
		any = any || slots[i].lost;
	}
	return any;
}

/* What fd has is read from the disk. */
static void forget(int fd)
{
	struct stat x, y;

	for (int i = 0; i < 2; i++) {
		if (!slots[i].lost || fstat(fd, &x) < 0 || stat(slots[i].path, &y) < 0 ||
		    x.st_ino != y.st_ino)
			continue;
		slots[i].lost = false;
		auto_fd int out = open(slots[i].path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		CHECK_INT(fd_write_full(out, slots[i].text.buf, slots[i].text.len), 0);
	}
}

/* The n-th call fails, and what it was to bring to the disk is not there: the next change finds
 * that out. -1: there are fewer calls. Else: was it a menu? */
static int fail_unseen(int n)
{
	struct sample s;
	struct err e = ERR_INIT;

	two_make(NO_LINKS);
	slots_read();
	failure = EIO;
	countdown = n;
	int r = boot_write_menu(&esp, sample(&s, 1, 3, new_kernels), &e);
	bool through = countdown > 0;
	countdown = 0;
	if (through || r == 0 || strcmp(failed_call, "fsync") != 0)
		return through ? -1 : 0;
	bool lost = slots_lose();
	on_drop = forget;
	r = boot_write_menu(&esp, &s.menu, &e);
	on_drop = NULL;
	CHECK_INT(r, 0);
	CHECK(!slots[0].lost && !slots[1].lost);
	CHECK_INT(starts(&s.menu), 3);
	return lost;
}

TEST(boot_04_a_menu_written_in_vain_is_not_believed)
{
	int tried = 0, r = 0;

	machine_make(&esp);
	for (int n = 1; r >= 0; n++) {
		r = fail_unseen(n);
		tried += r > 0;
	}
	for (int i = 0; i < 2; i++)
		str_done(&slots[i].text);
	machine_remove();
	CHECK_INT(tried, 1);
}

/* Kernels and initramfs that the menu in place names. */
static void remove_kernels(void)
{
	char path[512];
	struct dirent *entry;

	snprintf(path, sizeof(path), "%s" ESP "/EFI/cairn", top);
	DIR *d = opendir(path);
	CHECK(d != NULL);
	while (d && (entry = readdir(d)))
		if (strstr(entry->d_name, "-kernel") || strstr(entry->d_name, "-initrd"))
			CHECK_INT(unlinkat(dirfd(d), entry->d_name, 0), 0);
	if (d)
		closedir(d);
}

/* They are written anew, and the n-th file does not get to the disk. */
TEST(boot_04_a_kernel_written_in_vain_is_not_believed)
{
	struct sample s;
	struct err e = ERR_INIT;
	size_t whole = 0, files;
	bool through = false;

	machine_make(&esp);
	for (int n = 1; !through; n++) {
		two_make(NO_LINKS);
		remove_kernels();
		files = count_files(ESP "/EFI/cairn");
		sample(&s, 1, 2, old_kernels);
		failure = EIO;
		countdown = n;
		int r = boot_write_menu(&esp, &s.menu, &e);
		through = countdown > 0;
		countdown = 0;
		if (through || r == 0 || strcmp(failed_call, "fsync") != 0 || whole == 4)
			continue;
		CHECK_INT(count_files(ESP "/EFI/cairn") - files, whole++);
	}
	machine_remove();
	CHECK_INT(whole, 4);
}

/* A change that fails at its n-th call; true when its menu is in place nevertheless. */
static bool fail_late(int n)
{
	struct sample s;
	struct err e = ERR_INIT;

	two_make(LINKS);
	failure = EIO;
	countdown = n;
	int r = boot_write_menu(&grub, sample(&s, 1, 3, new_kernels), &e);
	countdown = 0;
	return r < 0 && starts(&s.menu) == 3;
}

/* Going back from it fails, too, at the m-th call, and going back again is cut off at the k-th.
 * True when all three happened. */
static bool fail_fail_cut(int n, int m, int k)
{
	struct sample s, back;
	struct err e = ERR_INIT;
	bool failed = fail_late(n);

	if (failed) {
		countdown = m;
		failed = boot_write_menu(&grub, sample(&back, 1, 2, old_kernels), &e) < 0;
		countdown = 0;
		failed = !run_cut(&back.menu, k) && failed;
		sample(&s, 1, 3, new_kernels);
		check_bootable(&s, "failed twice, cut", k);
	}
	return failed;
}

TEST(failures_then_a_cut)
{
	int tried = 0, n = 1;

	machine_make(&grub);
	while (n < 40 && !fail_late(n))
		n++;
	for (int m = 1; m < 16; m++)
		for (int k = 1; k < 32 && fail_fail_cut(n, m, k); k++)
			tried++;
	machine_remove();
	CHECK(tried > 50);
}

/* From the store, from the set before, or a copy. */
TEST(links_and_copies)
{
	for (int kind = LINKS; kind <= NO_LINKS; kind++) {
		struct sample s;
		struct err e = ERR_INIT;
		struct stat st;
		char path[512];

		machine_make(&grub);
		two_make(kind);
		CHECK_INT(boot_write_menu(&grub, sample(&s, 1, 3, new_kernels), &e), 0);
		check_files(6);
		snprintf(path, sizeof(path), "%s%s", top, kernels[0]);
		CHECK_INT(stat(path, &st), 0);
		CHECK_INT(st.st_nlink, kind == LINKS ? 2 : 1);
		machine_remove();
	}
}

TEST_MAIN(boot_01_cut_at_every_step, boot_04_failure_at_every_step,
	  boot_04_what_the_disk_has_is_not_what_was_written,
	  boot_04_a_menu_written_in_vain_is_not_believed,
	  boot_04_a_kernel_written_in_vain_is_not_believed, failures_then_a_cut, links_and_copies)
