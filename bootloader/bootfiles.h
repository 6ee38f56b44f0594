/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Kernels and initramfs where the boot loader reads them, named by their contents and shared by
 * generations. On a boot partition, which cannot hold them twice, they lie beside the text that
 * names them. On an ext4 root they lie in sets.
 *
 * A set is a directory with just the files of one menu, named by what it holds. Once a menu names
 * it, it is never changed: a menu with other files gets a directory of its own, so no split, torn
 * or half written block of a directory can hide from the boot loader, which replays no journal,
 * what the menu in place names, however many files there are. The directory of the sets has three
 * of them at most (in place, new, left over): with "." and "..", 24 bytes, and 44 for each, 156
 * bytes. So it lies in the first sector, which is written whole or not at all. Files of a set are
 * second names of the store's, so they cost no room; a copy is made where a link cannot be.
 */
#pragma once

#include <sys/types.h>

#include "bootloader/bootloader.h"
#include "bootloader/put.h"
#include "lib/vec.h"

struct bootfile {
	const char *logical; /* store path */
	const char *source;  /* the same, behind the prefix of the store */
	const char *name; /* in the directory; a prefix of the SHA-256 and "-kernel" or "-initrd" */
	uint64_t size;
	dev_t dev; /* of source, and its inode: a hard link of it need not be read again */
	ino_t ino;
};

struct bootfiles {
	struct arena *arena; /* borrowed */
	const char *root;    /* borrowed: what has both the directory of the sets and the store */
	const char
		*sets;	 /* borrowed: that directory, below root; NULL: files lie beside the text */
	const char *set; /* directory of these files; NULL when sets is */
	struct vec files; /* of struct bootfile *, by name, each once for each logical path */
};

/* Hash the kernels and initramfs of all items. Until a name is made from a hash it may not be
 * written to a FAT file system: so no name of the store has to fit there. */
int bootfiles_load(struct bootfiles *b, const char *store, const struct boot_menu *m,
		   struct err *e);
void bootfiles_done(struct bootfiles *b);
/* Name of the file of a store path; "" for "". */
const char *bootfiles_name(const struct bootfiles *b, const char *logical);

/* What else will be written. */
struct bootfiles_more {
	uint64_t bytes;
	unsigned files;
};

/*
 * Bring the directory (of the files, or of the sets) to what is in b, before the text changes:
 * whatever neither b nor the text in place names is removed, room for what has to be copied is
 * looked for (-ERR_SPACE with numbers; nothing has changed then), files are linked or written, read
 * back and synced.
 */
int bootfiles_write(const struct bootfiles *b, int dir, const struct menu_place *text,
		    const struct bootfiles_more *more, struct err *e);
/* Remove what neither b (NULL: nothing) nor the text in place names. */
int bootfiles_prune(const struct bootfiles *b, int dir, const struct menu_place *text,
		    struct err *e);
/* Is there room for all that bootfiles_write() would write? Changes nothing. top: of the file
 * system; dir: of the files, or of the sets, -1 while there is none. */
int bootfiles_check_room(const struct bootfiles *b, int top, int dir, const struct menu_place *text,
			 const struct bootfiles_more *more, struct err *e);
