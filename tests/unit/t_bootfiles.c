/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is written to boot partitions, and to a root that GRUB reads, can be read back by what reads
 * it, and the partition can be as full as one likes.
 */
#include "tests/unit/bootworld.h"

#include "lib/size.h"

/* ---- Room ------------------------------------------------------------------------------------ */

static int open_esp(const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s" ESP "/EFI/cairn/%s", top, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool is_named(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink == 1;
}

/* Files of one kernel are shared by all generations that have it, and go with the last of them. */
static bool has(const struct boot_place *p, unsigned number)
{
	struct err e = ERR_INIT;
	bool found = false;

	CHECK_INT(boot_menu_has(p, number, &found, &e), 0);
	return found;
}

TEST(shared_and_pruned)
{
	struct sample s;
	struct err e = ERR_INIT;

	machine_make(&esp);
	CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 3, (unsigned[]){ 0, 0, 1 }), &e), 0);
	CHECK_INT(starts(&s.menu), 3);
	CHECK_INT(count_files(ESP "/EFI/cairn"), 4 + 4); /* README, two menus, block */
	auto_fd int first = open_esp(EM_FILE), second = open_esp(EM_FILE_2);
	CHECK_INT(boot_write_menu(&esp, sample(&s, 3, 4, (unsigned[]){ 1, 1 }), &e), 0);
	CHECK_INT(starts(&s.menu), 4);
	CHECK_INT(count_files(ESP "/EFI/cairn"), 4 + 2);
	CHECK(is_named(first) && is_named(second)); /* written over */
	CHECK(has(&esp, 3) && has(&esp, 4) && !has(&esp, 1));
	machine_remove();
}

TEST(two_hundred_switches)
{
	unsigned kernel[ITEMS] = { 0 }, turn = 7;
	struct sample s;
	struct err e = ERR_INIT;

	machine_make(&esp);
	limited = true;
	for (unsigned n = 1; n <= 200; n++) {
		unsigned first = n < ITEMS ? 1 : n - ITEMS + 1;

		turn = turn * 1103515245 + 12345;
		memmove(kernel, kernel + (n > ITEMS), (ITEMS - 1) * sizeof(*kernel));
		kernel[n - first] = (turn >> 16) % KERNELS;
		if (boot_write_menu(&esp, sample(&s, first, n, kernel), &e) < 0)
			TEST_FAIL("switch %u: %s", n, e.msg);
		CHECK_INT(starts(&s.menu), n);
	}
	CHECK(count_files(ESP "/EFI/cairn") <= 4 + 2 * KERNELS);
	machine_remove();
}

static ino_t unread; /* a file that the disk does not give back; 0: none */
static int unread_why;

int fstat(int fd, struct stat *st)
{
	int r = REAL(fstat)(fd, st);

	return r == 0 && unread && st->st_ino == unread ? (errno = unread_why, -1) : r;
}

/* Which generation is in the way is said, unless it is the one that was asked for, or just memory
 * that is short. */
TEST(unread_kernel)
{
	static const int reasons[] = { EIO, EUCLEAN, EBADMSG, ENOMEM };
	char path[512];
	struct sample s;
	struct stat st;

	machine_make(&esp);
	(void)snprintf(path, sizeof(path), "%s%s", top, kernels[0]);
	CHECK_INT(stat(path, &st), 0);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct err e = ERR_INIT, asked = ERR_INIT;
		struct boot_menu *m = sample(&s, 1, 2, (unsigned[]){ 0, 1 });

		unread = st.st_ino;
		unread_why = reasons[i];
		CHECK_INT(boot_write_menu(&esp, m, &e), -reasons[i]);
		m->default_number = 1;
		CHECK_INT(boot_write_menu(&esp, m, &asked), -reasons[i]);
		unread = 0;
		if ((strstr(e.msg, "delete-generations 1 does without it") != NULL) !=
		    (reasons[i] != ENOMEM))
			TEST_FAIL("%s", e.msg);
		CHECK(!strstr(asked.msg, "delete-generations"));
	}
	machine_remove();
}

/* A fourth kernel, on a partition that is full by any measure. */
TEST(boot_03_full_partition)
{
	static const unsigned old[] = { 0, 1 }, new[] = { 0, 1, 2 };
	unsigned refused = 0, done = 0;
	struct sample s;

	machine_make(&esp);
	for (uint64_t room = 0; room < KERNEL + INITRD + 60 * CLUSTER; room += 12 * CLUSTER) {
		struct err e = ERR_INIT;

		limited = false;
		CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 2, old), &e), 0);
		limited = true;
		taken = CAPACITY - used() - room;
		uint64_t before = used();
		int told = boot_check_room(&esp, sample(&s, 1, 3, new), &e);
		CHECK_INT(used(), before);
		CHECK_INT(starts(&s.menu), 2);
		e = (struct err)ERR_INIT;
		int r = boot_write_menu(&esp, sample(&s, 1, 3, new), &e);
		CHECK_INT(told, r); /* before anything is written */
		CHECK_INT(starts(&s.menu), r == 0 ? 3 : 2);
		done += r == 0;
		refused += r < 0;
		if (r == 0)
			continue;
		CHECK_INT(r, -ERR_SPACE); /* not ENOSPC on the way */
		CHECK(strstr(e.msg, "bytes missing"));
		CHECK_INT(used(), before);
		/* Undoing the switch needs no room at all. */
		taken = CAPACITY - used();
		CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 2, old), &e), 0);
	}
	CHECK(refused > 5 && done > 0);
	machine_remove();
}

/* ---- What is there already --------------------------------------------------------------------
 */

/* Somebody else's files stay, and what an earlier version wrote is replaced as a whole. */
TEST(menu_of_the_store)
{
	struct sample s;
	struct err e = ERR_INIT;
	auto_str struct str text = STR_INIT;

	machine_make(&grub);
	CHECK_INT(boot_menu_text(sample(&s, 1, 2, (unsigned[]){ 0, 1 }), &text, &e), 0);
	put("/" BOOT_MENU_FILE, text.buf, text.len);
	put("/boot/cairn/mine", "", 0);
	CHECK_INT(starts(&s.menu), 2);
	CHECK_INT(boot_write_menu(&grub, sample(&s, 1, 3, (unsigned[]){ 0, 1, 2 }), &e), 0);
	CHECK_INT(starts(&s.menu), 3);
	str_cut(&text, 0);
	CHECK(read_menu(&text) && !strstr(text.buf, "/gnu/store/"));
	CHECK_INT(count_files("/boot/cairn"), 2);
	machine_remove();
}

/* What the disk has is not what was written. */
TEST(damage_is_mended)
{
	struct sample s;
	struct err e = ERR_INIT;
	auto_str struct str menu = STR_INIT;
	struct em_entry x;
	char path[512];

	machine_make(&esp);
	CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 1, (unsigned[]){ 0 }), &e), 0);
	CHECK(read_efi_menu(&menu));
	CHECK(em_find((struct em_text){ menu.buf, menu.len }, 1, &x));
	snprintf(path, sizeof(path), ESP "/EFI/cairn/%.*s", (int)x.kernel.n, x.kernel.p);
	put(path, "short", 5);
	CHECK_INT(starts(&s.menu), 0);
	CHECK_INT(boot_write_menu(&esp, &s.menu, &e), 0);
	CHECK_INT(starts(&s.menu), 1);
	machine_remove();
}

/* The newer of the two files was cut off, or has a wrong byte: the older one counts, and is
 * not what the next switch writes to. */
TEST(torn_menu)
{
	struct sample s;
	struct err e = ERR_INIT;
	auto_str struct str newer = STR_INIT;
	static const char path[] = ESP "/EFI/cairn/" EM_FILE_2;
	static const char zeros[4096];

	machine_make(&esp);
	CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 1, (unsigned[]){ 0 }), &e), 0);
	CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 2, (unsigned[]){ 0, 0 }), &e), 0);
	CHECK_INT(starts(&s.menu), 2);
	CHECK(read_esp("cairn/" EM_FILE_2, &newer));
	for (size_t n = 0; n < newer.len; n++) {
		put(path, newer.buf, n);
		CHECK_INT(starts(&s.menu), 1);
		newer.buf[n] ^= 1;
		put(path, newer.buf, newer.len);
		CHECK_INT(starts(&s.menu), 1);
		newer.buf[n] ^= 1;
	}
	CHECK_INT(boot_write_menu(&esp, &s.menu, &e), 0);
	CHECK_INT(starts(&s.menu), 2);
	put(path, "", 0);
	CHECK_INT(starts(&s.menu), 1);
	/* An earlier version wrote one file, when the other had been written often. */
	for (unsigned n = 1; n <= 4; n++)
		CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 1 + n % 2, (unsigned[]){ 0, 0 }), &e),
			  0);
	str_done(&newer);
	CHECK(read_efi_menu(&newer));
	put(ESP "/EFI/cairn/" EM_FILE, newer.buf, newer.len);
	CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 2, (unsigned[]){ 0, 0 }), &e), 0);
	CHECK_INT(starts(&s.menu), 2);
	/* A file that no program would read. */
	str_done(&newer);
	for (unsigned n = 0; n < 5 << 20; n += 4096)
		str_addn(&newer, zeros, sizeof(zeros));
	put(path, newer.buf, newer.len);
	CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 1, (unsigned[]){ 0, 0 }), &e), 0);
	CHECK_INT(starts(&s.menu), 1);
	machine_remove();
}

TEST(extlinux_in_place)
{
	struct sample s;
	struct err e = ERR_INIT;
	unsigned number = 0;

	machine_make(&extlinux);
	CHECK_INT(boot_menu_default(&extlinux, &number, &e), 0);
	CHECK_INT(number, 0);
	CHECK_INT(boot_write_menu(&extlinux, sample(&s, 1, 3, (unsigned[]){ 0, 1, 1 }), &e), 0);
	CHECK_INT(boot_menu_default(&extlinux, &number, &e), 0);
	CHECK_INT(number, 3);
	CHECK_INT(count_files("/boot/extlinux"), 5);
	CHECK_INT(boot_write_menu(&extlinux, sample(&s, 3, 4, (unsigned[]){ 1, 1 }), &e), 0);
	CHECK_INT(count_files("/boot/extlinux"), 3);
	/* Boots are counted by stage 1, once it has made the block. */
	CHECK(has(&extlinux, 1));
	CHECK(!boot_counts(&extlinux));
	CHECK_INT(boot_trial_begin(&extlinux, 4, &e), 0);
	CHECK(boot_counts(&extlinux));
	put("/boot/grub/unrelated", "", 0);
	CHECK_INT(count_files("/boot/grub"), 2);
	machine_remove();
}

/* ---- The program ----------------------------------------------------------------------------- */

static uint32_t le32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;

	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

TEST(program_is_one)
{
	struct sample s;
	struct err e = ERR_INIT;
	auto_str struct str p = STR_INIT;

	machine_make(&esp);
	put(ESP "/EFI/BOOT/BOOTX64.EFI", "somebody's", 10);
	for (int i = 0; i < 2; i++)
		CHECK_INT(boot_write_menu(&esp, sample(&s, 1, 1, (unsigned[]){ 0 }), &e), 0);
	CHECK(read_esp("BOOT/BOOTX64.EFI.saved", &p));
	CHECK_INT(p.len, 10);
	str_cut(&p, 0);
	CHECK(read_esp("BOOT/BOOTX64.EFI", &p));
	CHECK(memcmp(p.buf, "MZ", 2) == 0 && le32(p.buf + 0x3c) == 0x40);
	CHECK(memcmp(p.buf + 0x40, "PE\0\0\x64\x86", 6) == 0);
	CHECK_INT(le32(p.buf + 0x40 + 24 + 56), p.len); /* size of the image */
	uint32_t entry = le32(p.buf + 0x40 + 24 + 16), code = le32(p.buf + 0x40 + 24 + 4);
	CHECK(entry >= 0x1000 && entry < 0x1000 + code && p.len < 32768);
	machine_remove();
}

TEST_MAIN(shared_and_pruned, two_hundred_switches, unread_kernel, boot_03_full_partition,
	  menu_of_the_store, damage_is_mended, torn_menu, extlinux_in_place, program_is_one)
