/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each kind of boot loader does, for the one interface. */
#pragma once

#include "bootloader/bootloader.h"

struct boot_loader {
	const char *name; /* in configurations */
	const char *dir;  /* of menu and environment block, below the boot partition or the root */
	int (*write)(const struct boot_place *p, const struct boot_menu *m, struct err *e);
	int (*get_default)(const struct boot_place *p, unsigned *ret, struct err *e);
};

int grub_menu_write(const struct boot_place *p, const struct boot_menu *m, struct err *e);
int grub_menu_default(const struct boot_place *p, unsigned *ret, struct err *e);
