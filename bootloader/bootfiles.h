/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Kernels and initramfs on a boot partition, for loaders that cannot read the store: copies named
 * by their contents, shared by generations. All of them lie beside the text that names them.
 */
#pragma once

#include "bootloader/bootloader.h"
#include "lib/vec.h"

struct bootfile {
	const char *logical; /* store path */
	const char *source;  /* the same, behind the prefix of the store */
	const char *name; /* in the directory; a prefix of the SHA-256 and "-kernel" or "-initrd" */
	uint64_t size;
};

struct bootfiles {
	struct arena *arena; /* borrowed */
	struct vec files;    /* of struct bootfile *, each name once for each logical path */
};

/* Hash the kernels and initramfs of all items. Until a name is made from a hash it may not be
 * written to a FAT file system: so no name of the store has to fit there. */
int bootfiles_load(struct bootfiles *b, const char *store, const struct boot_menu *m,
		   struct err *e);
void bootfiles_done(struct bootfiles *b);
/* Name of the copy of a store path; "" for "". */
const char *bootfiles_name(const struct bootfiles *b, const char *logical);

/* What else is to be there at the same time. */
struct bootfiles_more {
	const char *text; /* name of the text in the directory that names the files */
	uint64_t bytes;	  /* of everything else that will be written */
	unsigned files;	  /* in how many files */
};

/*
 * Bring the directory to what is in b, before the text changes: whatever neither b nor the text in
 * place names is removed, room for the rest is looked for (-ERR_SPACE with numbers; nothing has
 * changed then), files are written, read back and synced.
 */
int bootfiles_write(const struct bootfiles *b, int dir, const struct bootfiles_more *more,
		    struct err *e);
/* Remove what neither b (NULL: nothing) nor the text in place names. */
int bootfiles_prune(const struct bootfiles *b, int dir, const char *text, struct err *e);
