/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Room for entries in a directory of FAT, before anything depends on it. Linux gives a directory
 * clusters as names are put into it, and takes none away: so the room comes from files without
 * contents, under the longest of names, which are removed again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bootloader/loader.h"

#define LONGEST	  255 /* bytes of a name; they take 20 entries, and its short form one */
#define TAKES	  21
#define FILES_MAX (BOOT_DIR_SLOTS / TAKES + 1)

static bool is_fat(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == MSDOS_SUPER_MAGIC;
}

uint64_t boot_slots_missing(int top, int dir)
{
	struct stat st = { 0 };

	if (!is_fat(top) || (dir >= 0 && fstat(dir, &st) < 0) || st.st_size >= BOOT_DIR_SIZE)
		return 0;
	return BOOT_DIR_SIZE - (uint64_t)st.st_size;
}

static void format_name(unsigned i, char out[LONGEST + 1])
{
	memset(out, '-', LONGEST);
	(void)snprintf(out, LONGEST + 1, "cairn-room-%03u", i);
	out[strlen(out)] = '-';
	out[LONGEST] = '\0';
}

static int remove_files(int dir, struct err *e)
{
	char name[LONGEST + 1];

	for (unsigned i = 0; i < FILES_MAX; i++) {
		format_name(i, name);
		if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
			return err_sys(e, "removing %.14s", name);
	}
	return 0;
}

static int make_file(int dir, unsigned i)
{
	char name[LONGEST + 1];

	format_name(i, name);
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	(void)close(fd); /* nothing was written */
	return 0;
}

int boot_slots_reserve(int dir, struct err *e)
{
	struct err ignored = ERR_INIT;
	int r = 0;

	if (!is_fat(dir))
		return 0;
	for (unsigned i = 0; r == 0 && i < FILES_MAX && boot_slots_missing(dir, dir); i++)
		r = make_file(dir, i);
	if (r < 0) {
		(void)remove_files(dir, &ignored); /* or the next time */
		return err_num(e, r, "room for the names of boot files");
	}
	r = remove_files(dir, e);
	return r == 0 && menu_sync(dir) < 0 ? err_sys(e, "boot files") : r;
}
