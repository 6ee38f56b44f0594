/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A machine with a boot partition: a directory whose size is kept account of here. Every call that
 * changes the disk can be the last or fail (tests/unit/faults.h). Included once by each test
 * program of boot files.
 */
#pragma once

#include "bootloader/bootloader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bootloader/efimenu.h"
#include "bootloader/loader.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "tests/unit/faults.h"
#include "tests/unit/test.h"

#define CLUSTER	 512
#define CAPACITY (448 << 10)
#define KERNELS	 3
#define KERNEL	 (96 << 10) /* bytes; three of them and their initramfs fit, four do not */
#define INITRD	 (12 << 10)
#define ESP	 "/boot/efi"

static char top[256];
static const struct boot_place esp = { .root = top, .store = top, .type = BOOT_EFI, .dir = ESP };
static const struct boot_place extlinux = {
	.root = top, .store = top, .type = BOOT_EXTLINUX, .dir = "/boot"
};
static const struct boot_place grub = { .root = top, .store = top, .type = BOOT_GRUB, .dir = "" };
static const struct boot_place *place; /* that a test is about */

/* ---- The size of the partition --------------------------------------------------------------- */

static bool limited;   /* the partition has CAPACITY bytes */
static uint64_t taken; /* by something else */

/* Clusters of all files below the mount point, and one for each directory. */
static inline uint64_t used_below(int fd)
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

static inline uint64_t used(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s" ESP, top);
	return used_below(open(path, O_RDONLY | O_DIRECTORY));
}

static inline uint64_t left(void)
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

int ftruncate(int fd, off_t size)
{
	return tick() ? -1 : REAL(ftruncate)(fd, size);
}

int fchmod(int fd, mode_t mode)
{
	return tick() ? -1 : REAL(fchmod)(fd, mode);
}

/* renameat2(), for which musl has no function. */
long syscall(long number, ...)
{
	long a[5]; /* as many as are needed here; they are in registers */
	va_list ap;

	va_start(ap, number);
	for (size_t i = 0; i < 5; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_renameat2 && tick_at("renameat2", (const char *)a[3]))
		return -1;
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4]);
}

/* ---- A machine ------------------------------------------------------------------------------- */

static inline void put(const char *path, const char *bytes, size_t n)
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

static inline void see_flush(void);

static inline void machine_make(const struct boot_place *p)
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

static inline void machine_remove(void)
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
static inline struct boot_menu *sample(struct sample *s, unsigned first, unsigned last,
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

static inline bool read_esp(const char *name, struct str *out)
{
	char path[512];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s" ESP "/EFI/%s", top, name);
	return file_read(AT_FDCWD, path, out, 1 << 22, &e) == 0;
}

static inline bool same_file(const char *file, int n, const char *logical)
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
static inline bool same_beside(struct em_text name, const char *logical)
{
	char file[128];
	int n = snprintf(file, sizeof(file), ESP "/EFI/cairn/%.*s", (int)name.n, name.p);

	return same_file(file, n, logical);
}

/* The menu that the program would take, of the two files. */
static inline bool read_efi_menu(struct str *out)
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
static inline unsigned program_starts(const struct boot_menu *m)
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
static inline unsigned text_starts(const char *text, const struct boot_menu *m)
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

static inline bool read_menu(struct str *out)
{
	char path[512];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s/" BOOT_MENU_FILE, top);
	return file_read(AT_FDCWD, path, out, sizeof(flushed->text), &e) == 0;
}

static inline void see_flush(void)
{
	auto_str struct str text = STR_INIT;

	if (read_menu(&text))
		snprintf(flushed->text, sizeof(flushed->text), "%s", text.buf);
}

static inline unsigned starts(const struct boot_menu *m)
{
	auto_str struct str text = STR_INIT;

	if (place->type == BOOT_EFI)
		return program_starts(m);
	return read_menu(&text) ? text_starts(text.buf, m) : 0;
}

static inline size_t count_files(const char *dir)
{
	char path[1024];
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
