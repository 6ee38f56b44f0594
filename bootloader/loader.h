/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each kind of boot loader does, for the one interface. */
#pragma once

#include "bootloader/bootfiles.h"
#include "bootloader/bootloader.h"

struct boot_loader {
	const char *name; /* in configurations */
	const char *dir;  /* of menu and environment block, below the boot partition or the root */
	int (*write)(const struct boot_place *p, const struct boot_menu *m, struct err *e);
	int (*get_default)(const struct boot_place *p, unsigned *ret, struct err *e);
	int (*files)(const struct boot_place *p, const struct boot_menu *m, struct arena *a,
		     struct vec *ret, struct err *e);
};

/* Directory of the boot partition of p, or its root. */
int boot_top_open(const struct boot_place *p, struct err *e);

/* ---- For every kind (bootloader/grub.c) ------------------------------------------------------ */

/* "Generation 7, 2026-11-25 20:00, Linux 6.1.176: label" */
void boot_item_title(const struct boot_item *it, struct str *title);
/* The items, newest first; *ret is to be freed. Errors as boot_menu_text(). */
int boot_menu_order(const struct boot_menu *m, const struct boot_item ***ret, struct err *e);

/* ---- Adding to the list of boot_files() (bootloader/loader.c) ----------------------------------
 */

void boot_file_add(struct arena *a, struct vec *ret, const char *path, struct slice data);
void boot_file_add_block(struct arena *a, struct vec *ret, const char *path);
void boot_file_add_copies(struct arena *a, struct vec *ret, const char *dir,
			  const struct bootfiles *b);

/* ---- Each kind ------------------------------------------------------------------------------- */

int grub_menu_write(const struct boot_place *p, const struct boot_menu *m, struct err *e);
int grub_menu_default(const struct boot_place *p, unsigned *ret, struct err *e);
int grub_files(const struct boot_place *p, const struct boot_menu *m, struct arena *a,
	       struct vec *ret, struct err *e);

/* The menu for the program on the EFI system partition; names of files from b. */
int efi_menu_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out,
		  struct err *e);
int efi_menu_write(const struct boot_place *p, const struct boot_menu *m, struct err *e);
int efi_menu_default(const struct boot_place *p, unsigned *ret, struct err *e);
int efi_files(const struct boot_place *p, const struct boot_menu *m, struct arena *a,
	      struct vec *ret, struct err *e);

/* extlinux.conf */
int extlinux_text(const struct bootfiles *b, const struct boot_menu *m, struct str *out,
		  struct err *e);
int extlinux_write(const struct boot_place *p, const struct boot_menu *m, struct err *e);
int extlinux_default(const struct boot_place *p, unsigned *ret, struct err *e);
int extlinux_files(const struct boot_place *p, const struct boot_menu *m, struct arena *a,
		   struct vec *ret, struct err *e);
