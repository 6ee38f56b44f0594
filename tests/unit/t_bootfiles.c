/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Boot partitions, and a root that GRUB reads: what is written there can be read back by what reads
 * it, every call that changes the disk can be the last or fail, and the partition can be as full as
 * one likes: the old state or the new one is there, whole. The partition is a directory whose size
 * is kept account of here.
 */
#include "bootloader/bootloader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bootloader/efimenu.h"
#include "bootloader/loader.h"
#include "lib/bootenv.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/size.h"
#include "tests/unit/faults.h"
#include "tests/unit/test.h"

#define CLUSTER	 512
#define CAPACITY (448 << 10)
#define KERNELS	 3
#define KERNEL	 (96 << 10) /* bytes; three of them and their initramfs fit, four do not */
#define INITRD	 (12 << 10)
#define ESP	 "/boot/efi"

static char top[256];
static const struct boot_place esp = { top, top, BOOT_EFI, ESP };
static const struct boot_place extlinux = { top, top, BOOT_EXTLINUX, "/boot" };
static const struct boot_place grub = { top, top, BOOT_GRUB, "" };
static const struct boot_place *place; /* that a test is about */

/* ---- The size of the partition --------------------------------------------------------------- */

static bool limited;   /* the partition has CAPACITY bytes */
static uint64_t taken; /* by something else */

/* Clusters of all files below the mount point, and one for each directory. */
static uint64_t used_below(int fd)
{
	uint64_t sum = CLUSTER;
	struct dirent *entry;
	struct stat st;
	DIR *d = fdopendir(fd);

	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.'))
			continue;
		if (fstatat(dirfd(d), entry->d_name, &st, 0) < 0)
			continue;
		sum += S_ISDIR(st.st_mode)
			       ? used_below(openat(dirfd(d), entry->d_name, O_RDONLY | O_DIRECTORY))
			       : ((uint64_t)st.st_size + CLUSTER - 1) / CLUSTER * CLUSTER;
	}
	if (d)
		closedir(d);
	return sum;
}

static uint64_t used(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s" ESP, top);
	return used_below(open(path, O_RDONLY | O_DIRECTORY));
}

static uint64_t left(void)
{
	uint64_t n = used() + taken;

	return n < CAPACITY ? CAPACITY - n : 0;
}

int fstatvfs(int fd, struct statvfs *st)
{
	if (!limited)
		return REAL(fstatvfs)(fd, st);
	*st = (struct statvfs){ .f_bsize = CLUSTER,
				.f_frsize = CLUSTER,
				.f_bavail = left() / CLUSTER };
	return 0;
}

ssize_t write(int fd, const void *p, size_t n)
{
	if (limited && countdown == 0 && left() < n)
		return errno = ENOSPC, -1;
	return tick() ? -1 : REAL(write)(fd, p, n);
}

/* ---- A machine ------------------------------------------------------------------------------- */

static void put(const char *path, const char *bytes, size_t n)
{
	char full[512], dir[PATH_MAX];
	struct err e = ERR_INIT;

	snprintf(full, sizeof(full), "%s%s", top, path);
	CHECK_INT(path_dir(dir, full), 0);
	CHECK_INT(file_mkdir_p(AT_FDCWD, dir, 0755, &e), 0);
	CHECK_INT(file_write_atomic(AT_FDCWD, full, bytes, n, 0644, &e), 0);
}

static const char *const kernels[KERNELS + 1] = { "/gnu/store/1-linux/bzImage",
						  "/gnu/store/2-linux/bzImage",
						  "/gnu/store/3-linux/bzImage",
						  "/gnu/store/4-linux/bzImage" };
static const char *const initrds[KERNELS + 1] = { "/gnu/store/1-initrd/initrd",
						  "/gnu/store/2-initrd/initrd",
						  "/gnu/store/3-initrd/initrd",
						  "/gnu/store/4-initrd/initrd" };

/* GRUB may find the menu that was there at the last flush, as well as the one in place. Shared with
 * the process that is cut off. */
static struct seen {
	char text[1 << 16];
} * flushed;

static void see_flush(void);

static void machine_make(const struct boot_place *p)
{
	static char noise[KERNEL];
	const char *tmp = getenv("TMP");
	uint32_t x = 1;

	countdown = 0;
	limited = false;
	taken = 0;
	place = p;
	links = p->type == BOOT_GRUB ? LINKS : NO_LINKS;
	on_flush = p->type == BOOT_GRUB ? see_flush : NULL;
	if (!flushed)
		flushed = mmap(NULL, sizeof(*flushed), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (flushed == MAP_FAILED)
		abort();
	flushed->text[0] = '\0';
	snprintf(top, sizeof(top), "%s/esp-XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(top) != NULL);
	/* Room is what partitions are short of. */
	const size_t part = p->type == BOOT_GRUB ? 32 : 1;
	for (size_t i = 0; i <= KERNELS; i++) {
		for (size_t k = 0; k < KERNEL / part; k++)
			noise[k] = (char)((x = x * 1103515245 + 12345) >> 16);
		put(kernels[i], noise, KERNEL / part);
		put(initrds[i], noise, INITRD / part);
	}
	put(ESP "/EFI/cairn/README.TXT", "somebody's", 10); /* nobody removes it */
}

static void machine_remove(void)
{
	struct err e = ERR_INIT;

	countdown = 0;
	limited = false;
	CHECK_INT(file_delete_tree(AT_FDCWD, top, NULL, &e), 0);
}

#define ITEMS 8
struct sample {
	struct boot_item items[ITEMS];
	struct boot_menu menu;
};

/* Generations first…last; each has the kernel that kernel[] says. */
static struct boot_menu *sample(struct sample *s, unsigned first, unsigned last,
				const unsigned *kernel)
{
	for (unsigned i = 0; i <= last - first; i++)
		s->items[i] = (struct boot_item){ .number = first + i,
						  .date = 1700000000 + i,
						  .entry = { "Cairn", "6.1", kernels[kernel[i]],
							     initrds[kernel[i]], "quiet" } };
	s->menu = (struct boot_menu){
		.items = s->items, .nitems = last - first + 1, .default_number = last, .timeout = 1
	};
	return &s->menu;
}

static bool read_esp(const char *name, struct str *out)
{
	char path[512];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s" ESP "/EFI/%s", top, name);
	return file_read(AT_FDCWD, path, out, 1 << 22, &e) == 0;
}

static bool same_file(const char *file, int n, const char *logical)
{
	auto_str struct str have = STR_INIT, want = STR_INIT;
	char path[512], other[512];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s%s", top, logical);
	snprintf(other, sizeof(other), "%s%.*s", top, n, file);
	return file_read(AT_FDCWD, path, &want, 1 << 22, &e) == 0 &&
	       file_read(AT_FDCWD, other, &have, 1 << 22, &e) == 0 &&
	       slice_eq(str_slice(&have), str_slice(&want));
}

/* A file beside the menu of the program. */
static bool same_beside(struct em_text name, const char *logical)
{
	char file[128];
	int n = snprintf(file, sizeof(file), ESP "/EFI/cairn/%.*s", (int)name.n, name.p);

	return same_file(file, n, logical);
}

/* The menu that the program would take, of the two files. */
static bool read_efi_menu(struct str *out)
{
	static const char *const names[] = { "cairn/" EM_FILE, "cairn/" EM_FILE_2 };
	unsigned best = 0;

	for (size_t i = 0; i < 2; i++) {
		auto_str struct str file = STR_INIT;
		struct em_text menu;
		unsigned serial;

		if (!read_esp(names[i], &file) ||
		    !em_open((struct em_text){ file.buf, file.len }, &menu, &serial) ||
		    (out->len && !em_beats(serial, best)))
			continue;
		best = serial;
		str_done(out);
		str_addn(out, menu.p, menu.n);
	}
	return out->len > 0;
}

/* What the program would find: the default of the menu when everything that the menu names is there
 * and whole, else 0. */
static unsigned program_starts(const struct boot_menu *m)
{
	auto_str struct str text = STR_INIT;
	auto_str struct str program = STR_INIT;
	struct em_entry x;

	if (!read_efi_menu(&text) || !read_esp("BOOT/BOOTX64.EFI", &program))
		return 0;
	const struct em_text all = { text.buf, text.len };
	struct em_text rest = all;
	while (em_next(&rest, &x)) {
		size_t i = 0;
		while (i < m->nitems && m->items[i].number != x.number)
			i++;
		if (i == m->nitems || !same_beside(x.kernel, m->items[i].entry.kernel) ||
		    !same_beside(x.initrd, m->items[i].entry.initrd))
			return 0;
	}
	return em_number(em_setting(all, "default"));
}

/* The same for GRUB, and a text that it may find: its default when all that it names is whole. */
static unsigned text_starts(const char *text, const struct boot_menu *m)
{
	static const char count[] = "\n\tcairn_count ";

	for (const char *at = text; (at = strstr(at, count));) {
		unsigned number = boot_number_after(slice_of(at), count, '\n');
		size_t i = 0;

		while (i < m->nitems && m->items[i].number != number)
			i++;
		at = strstr(at, "linux '") + 7;
		if (i == m->nitems ||
		    !same_file(at, (int)strcspn(at, "'"), m->items[i].entry.kernel))
			return 0;
		at = strstr(at, "initrd '") + 8;
		if (!same_file(at, (int)strcspn(at, "'"), m->items[i].entry.initrd))
			return 0;
	}
	return grub_default(slice_of(text));
}

static bool read_menu(struct str *out)
{
	char path[512];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s/" BOOT_MENU_FILE, top);
	return file_read(AT_FDCWD, path, out, sizeof(flushed->text), &e) == 0;
}

static void see_flush(void)
{
	auto_str struct str text = STR_INIT;

	if (read_menu(&text))
		snprintf(flushed->text, sizeof(flushed->text), "%s", text.buf);
}

static unsigned starts(const struct boot_menu *m)
{
	auto_str struct str text = STR_INIT;

	if (place->type == BOOT_EFI)
		return program_starts(m);
	return read_menu(&text) ? text_starts(text.buf, m) : 0;
}

static size_t count_files(const char *dir)
{
	char path[512];
	struct dirent *entry;
	size_t n = 0;

	snprintf(path, sizeof(path), "%s%s", top, dir);
	DIR *d = opendir(path);
	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

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

/* BOOT-03: a fourth kernel, on a partition that is full by any measure. */
TEST(full_partition)
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

/* ---- Crashes and failures -------------------------------------------------------------------- */

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

static bool run_cut(struct boot_menu *m, int n)
{
	struct err e = ERR_INIT;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		countdown = n;
		failure = 0;
		_exit(boot_write_menu(place, m, &e) == 0 ? 0 : 1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 99);
	return WEXITSTATUS(status) == 0;
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

/* BOOT-01, BOOT-07 */
TEST(cut_at_every_step)
{
	cut_each(&esp, NO_LINKS);
	cut_each(&grub, LINKS);
	cut_each(&grub, FAR_LINKS);
	cut_each(&grub, NO_LINKS);
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
		(void)boot_write_menu(p, sample(&s, 1, 3, new_kernels), &e);
		through = countdown > 0;
		countdown = 0;
		check_either(&s, "failure", n);
	}
	machine_remove();
	CHECK(through && n > 10);
}

/* BOOT-04 */
TEST(failure_at_every_step)
{
	static const int reasons[] = { EIO, ENOSPC };

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		fail_each(&esp, NO_LINKS, reasons[i]);
		fail_each(&grub, LINKS, reasons[i]);
		fail_each(&grub, FAR_LINKS, reasons[i]);
		fail_each(&grub, NO_LINKS, reasons[i]);
	}
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

/* Somebody else's files stay, and what an earlier version wrote is replaced as a whole. */
TEST(menu_of_the_store)
{
	struct sample s;
	struct err e = ERR_INIT;
	auto_str struct str text = STR_INIT;

	machine_make(&grub);
	CHECK_INT(boot_menu_text(sample(&s, 1, 2, old_kernels), &text, &e), 0);
	put("/" BOOT_MENU_FILE, text.buf, text.len);
	put("/boot/cairn/mine", "", 0);
	CHECK_INT(starts(&s.menu), 2);
	CHECK_INT(boot_write_menu(&grub, sample(&s, 1, 3, new_kernels), &e), 0);
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

/* ---- Texts ----------------------------------------------------------------------------------- */

static const char *const words[] = { "Cairn",
				     "Generation 9: \"x\"",
				     "entry 7",
				     "$(reboot)",
				     "`x`; end",
				     "a = b {}",
				     "\xc3\xa9t\xc3\xa9",
				     "^key",
				     "APPEND x",
				     "# no",
				     "DEFAULT gen-9",
				     "-",
				     "end",
				     "kernel evil",
				     "back\\slash" };

static bool text_is(struct em_text t, const char *s)
{
	return t.n == strlen(s) && (t.n == 0 || memcmp(t.p, s, t.n) == 0);
}

static const char *title_of(const struct boot_item *it, struct str *out)
{
	str_cut(out, 0);
	boot_item_title(it, out);
	return out->buf;
}

/* Names are given: no file is looked at. */
static struct bootfiles named(struct arena *a)
{
	struct bootfiles b = { .arena = a };

	vec_add(&b.files, arena_dup(a, &(struct bootfile){ kernels[0], "", "K-kernel", 1 },
				    sizeof(struct bootfile)));
	vec_add(&b.files, arena_dup(a, &(struct bootfile){ initrds[0], "", "I-initrd", 1 },
				    sizeof(struct bootfile)));
	return b;
}

static void strange(struct sample *s, const char *label, const char *parameters)
{
	sample(s, 1, 3, (unsigned[]){ 0, 0, 0 });
	s->items[1].entry.label = label;
	s->items[1].entry.parameters = parameters;
	s->items[2].entry.initrd = "";
}

static void check_efi_text(const struct bootfiles *b, const struct sample *s)
{
	auto_str struct str text = STR_INIT, title = STR_INIT;
	struct err e = ERR_INIT;
	struct em_entry x;
	unsigned n = 0;

	CHECK_INT(efi_text(b, &s->menu, &text, &e), 0);
	struct em_text rest = { text.buf, text.len };
	CHECK(em_is_whole(rest));
	CHECK_INT(em_number(em_setting(rest, "default")), 3);
	for (; em_next(&rest, &x); n++) {
		const struct boot_item *it = &s->items[2 - n];
		CHECK_INT(x.number, it->number);
		CHECK(text_is(x.title, title_of(it, &title)));
		CHECK(text_is(x.kernel, "K-kernel"));
		CHECK(text_is(x.initrd, *it->entry.initrd ? "I-initrd" : ""));
		CHECK(text_is(x.parameters, it->entry.parameters));
	}
	CHECK_INT(n, 3);
	for (size_t cut = 0; cut < text.len; cut++)
		CHECK(!em_is_whole((struct em_text){ text.buf, cut }));
}

/* The next line of a key that extlinux knows, of the text. */
static bool line_of(struct slice *rest, const char *key, struct slice *ret)
{
	struct slice line;

	while (slice_cut(rest, '\n', &line)) {
		while (line.n && *line.p == '\t')
			line.p++, line.n--;
		if (!slice_starts(line, key))
			continue;
		*ret = (struct slice){ line.p + strlen(key), line.n - strlen(key) };
		return true;
	}
	return false;
}

static void check_extlinux_text(const struct bootfiles *b, const struct sample *s)
{
	auto_str struct str text = STR_INIT, title = STR_INIT;
	struct err e = ERR_INIT;
	struct slice rest, value;

	CHECK_INT(extlinux_text(b, &s->menu, &text, &e), 0);
	rest = str_slice(&text);
	if (s->menu.serial) { /* the first line that is no comment */
		slice_cut(&rest, '\n', &value);
		CHECK(slice_starts(value, "# ") && slice_starts(rest, "SERIAL 1 9600\n"));
	}
	CHECK(line_of(&rest, "DEFAULT ", &value) && slice_is(value, "gen-3"));
	for (unsigned n = 3; n > 0; n--) {
		const struct boot_item *it = &s->items[n - 1];
		char label[16];

		snprintf(label, sizeof(label), "gen-%u", n);
		CHECK(line_of(&rest, "LABEL ", &value) && slice_is(value, label));
		CHECK(line_of(&rest, "MENU LABEL ", &value));
		if (!strchr(title_of(it, &title), '^'))
			CHECK(slice_is(value, title.buf));
		CHECK(line_of(&rest, "LINUX ", &value) && slice_is(value, "K-kernel"));
		CHECK(line_of(&rest, "APPEND ", &value));
		if (n == 3)
			CHECK(slice_is(value, "quiet generation=default"));
		else
			CHECK(slice_is(value, *it->entry.parameters ? it->entry.parameters : "-"));
	}
	CHECK(!line_of(&rest, "LABEL ", &value));
}

TEST(texts_read_back)
{
	auto_arena struct arena a = ARENA_INIT;
	struct bootfiles b = named(&a);
	struct sample s;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		for (size_t k = 0; k < ARRAY_LEN(words); k++) {
			strange(&s, words[i], words[k]);
			check_efi_text(&b, &s);
			check_extlinux_text(&b, &s);
		}
	strange(&s, "no parameters", "");
	check_efi_text(&b, &s);
	check_extlinux_text(&b, &s);
	s.menu.serial = true;
	s.menu.serial_unit = 1;
	s.menu.serial_speed = 9600;
	check_extlinux_text(&b, &s);
	bootfiles_done(&b);
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
	CHECK(!boot_counts(&extlinux));
	CHECK_INT(boot_trial_begin(&extlinux, 4, &e), 0);
	CHECK(boot_counts(&extlinux));
	put("/boot/grub/unrelated", "", 0);
	CHECK_INT(count_files("/boot/grub"), 2);
	machine_remove();
}

TEST(extlinux_extras)
{
	static const struct boot_extra x[] = { { "Memory ^test", "", "", "/memtest", "", "" },
					       { "Rescue", "", "", "/k", "/i", "a b" } },
				       chain = { "Other", "hd0", "/EFI/x", "", "", "" },
				       disk = { "Other", "LABEL=x", "", "/k", "", "" };
	auto_str struct str text = STR_INIT;
	struct sample s;
	struct err e = ERR_INIT;

	machine_make(&extlinux);
	CHECK_INT(boot_write_menu(&extlinux, sample(&s, 1, 3, (unsigned[]){ 0, 1, 1 }), &e), 0);
	s.menu.extras = x;
	s.menu.nextras = 2;
	CHECK_INT(boot_write_menu(&extlinux, &s.menu, &e), 0);
	CHECK_INT(boot_menu_read(&extlinux, &text, &e), 0);
	CHECK(strstr(text.buf,
		     "\nLABEL extra-0\n\tMENU LABEL Memory 'test\n\tLINUX /memtest\n\tAPPEND -\n"));
	CHECK(strstr(
		text.buf,
		"\nLABEL extra-1\n\tMENU LABEL Rescue\n\tLINUX /k\n\tINITRD /i\n\tAPPEND a b\n"));
	s.menu.nextras = 1;
	s.menu.extras = &chain;
	CHECK_INT(boot_write_menu(&extlinux, &s.menu, &e), -ERR_INVALID);
	s.menu.extras = &disk;
	CHECK_INT(boot_write_menu(&extlinux, &s.menu, &e), -ERR_INVALID);
	CHECK_STR(e.msg,
		  "boot menu: entry 'Other': extlinux starts kernels of its own partition only");
	machine_remove();
}

/* ---- Counting -------------------------------------------------------------------------------- */

/* The program decides as stage 1 does, whose rules have a test of their own. */
TEST(counts_as_stage_1)
{
	for (unsigned i = 0; i < 4 * 4 * 6 * 4 * 2; i++) {
		const struct boot_count now = { i % 4, i / 4 % 4, i / 16 % 6 };
		unsigned def = i / 96 % 4;
		bool has_good = i / 384 && now.good;
		struct em_count c = { now.good, now.trial, now.left };

		if (!def)
			continue;
		struct boot_choice want = boot_count_choose(&now, def, has_good);
		unsigned number = em_turn(&c, def, has_good);
		bool counted = em_take(&c, number, def);
		CHECK_INT(number, want.number);
		CHECK_INT(counted, want.counted);
		if (!counted)
			continue;
		CHECK_INT(c.trial, want.after.trial);
		CHECK_INT(c.left, want.after.left);
	}
}

TEST(block_of_the_program)
{
	const struct boot_var vars[] = { { "cairn_good", "12" }, { "other", "x" } };
	char block[BOOT_ENV_SIZE], next[BOOT_ENV_SIZE], file[300];
	struct boot_count count;
	struct err e = ERR_INIT;

	machine_make(&esp);
	boot_env_format(block);
	put("/block", block, sizeof(block));
	snprintf(file, sizeof(file), "%s/block", top);
	auto_fd int fd = open(file, O_RDWR | O_CLOEXEC);
	CHECK_INT(boot_env_update(fd, vars, ARRAY_LEN(vars), &e), 0);
	CHECK_INT(pread(fd, block, sizeof(block), 0), BOOT_ENV_SIZE);
	for (unsigned n = 1; n < 2000000; n *= 11) {
		struct em_count c = em_count_read(block);

		CHECK_INT(c.good, 12);
		c.trial = n;
		c.left = n % 4;
		CHECK(em_count_write(block, &c, next));
		CHECK_INT(pwrite(fd, next, sizeof(next), 0), BOOT_ENV_SIZE);
		CHECK_INT(boot_count_get(fd, &count, &e), 0);
		CHECK_INT(count.good, 12);
		CHECK_INT(count.trial, n > 999999 ? 0 : n);
		CHECK_INT(count.left, n % 4);
		CHECK(memmem(next, sizeof(next), "other=x\n", 8) != NULL);
		memcpy(block, next, sizeof(block));
	}
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

TEST_MAIN(shared_and_pruned, two_hundred_switches, full_partition, cut_at_every_step,
	  failure_at_every_step, failures_then_a_cut, links_and_copies, menu_of_the_store,
	  damage_is_mended, torn_menu, texts_read_back, extlinux_in_place, extlinux_extras,
	  counts_as_stage_1, block_of_the_program, program_is_one)
