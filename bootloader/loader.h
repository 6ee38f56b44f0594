/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each kind of boot loader does, for the one interface. */
#pragma once

#include "bootloader/bootfiles.h"
#include "bootloader/bootloader.h"

struct boot_loader {
	const char *name; /* in configurations */
	const char *dir;  /* of text and environment block, below the boot partition or the root */
	const char *text_name; /* of the menu; NULL: there is none, nothing is written */
	const char *sets;      /* directory of the sets of kernels, below the root; NULL: kernels
				* lie beside the text */
	bool pair;	       /* the text is in two files in turn */
	bool has_block;	       /* counts boots itself */
	struct slice (*program)(void); /* that firmware starts; NULL: somebody else's */
	/* Names of files from b. */
	int (*text)(const struct bootfiles *b, const struct boot_menu *m, struct str *out,
		    struct err *e);
	unsigned (*get_default)(struct slice text); /* 0: a text that is not ours */
	const char *mark, *mark_end; /* around the number of each generation, when has_block */
};

const struct boot_loader *boot_loader_get(enum boot_type type);
/* Directory of the boot partition of p, or its root. */
int boot_top_open(const struct boot_place *p, struct err *e);

/* ---- For every kind (bootloader/grub.c, bootloader/deploy.c) ----------------------------------
 */

/* "Generation 7, 2026-11-25 20:00, Linux 6.1.176: label" */
void boot_item_title(const struct boot_item *it, struct str *title);
/* The items, newest first; *ret is to be freed. Errors as boot_menu_text(). */
int boot_menu_order(const struct boot_menu *m, const struct boot_item ***ret, struct err *e);
/* The number between the first mark and end; 0: none. */
unsigned boot_number_after(struct slice text, const char *mark, char end);

/* ---- Each kind ------------------------------------------------------------------------------- */

#define BOOT_SETS "boot/cairn"
/* b NULL: files have the paths of the entries. */
int grub_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out, struct err *e);
unsigned grub_default(struct slice text);

/* For the program on the EFI system partition. */
#define BOOT_PROGRAM "EFI/BOOT/BOOTX64.EFI"
int efi_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out, struct err *e);
unsigned efi_default(struct slice text);
struct slice efi_program(void);
/* Below the directory top of a partition; does not sync. */
int boot_program_put(int top, struct slice program, struct err *e);
bool boot_program_is_present(int top, struct slice program);

/* Bytes that BOOT_DIR_SLOTS lack in the directory dir, -1 when there is none yet, of the file
 * system of top; 0 where that is not FAT. */
uint64_t boot_slots_missing(int top, int dir);
/* Make them: nothing may start from what is in dir yet, as it grows by this. On the disk when it
 * returns. */
int boot_slots_reserve(int dir, struct err *e);

/* extlinux.conf */
int extlinux_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out,
		  struct err *e);
unsigned extlinux_default(struct slice text);
