/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The boot menu of all generations, from nothing but what is stored in them: boot/entry (kernel,
 * initrd, command line) and boot/menu (time-out, serial line) of the default one.
 */
#pragma once

#include "bootloader/bootloader.h"
#include "system/generation.h"

#define SYS_MENU_WAIT                                                                              \
	86400 /* seconds in boot/menu: until somebody chooses; older programs wait a day */

/* GENERATION/boot/menu: settings of the menu in which this generation is the default; and
 * boot/mount. */
struct sys_menu {
	enum boot_type type;
	const char *dir; /* mount point of the boot partition; "": none */
	const char *mount_point, *fs_type, *partition; /* of what that is on; "": see boot_place */
	uint64_t timeout;
	bool hidden, serial;
	uint64_t serial_unit, serial_speed;
	const char *const *inputs, *const *outputs; /* terminals; NULL at the end, or NULL */
	const char *default_title;		    /* "" : the generation; else one of extras */
	struct boot_extra *extras;
	size_t nextras;
};

int sys_menu_load(const struct sys_root *r, struct arena *a, const char *path, struct sys_menu *ret,
		  struct err *e);
/* Can it be in a menu: has it its boot data, kernel and initramfs? -ERR_NOTVALID: it is damaged. */
int sys_menu_check_entry(const struct sys_root *r, const struct gen *g, struct err *e);
/* The menu of all generations in list but skip (0: all of them), generation number the default.
 * Those that are damaged are left out; -ERR_NOTVALID when the default one is. */
int sys_menu_build(const struct sys_root *r, struct arena *a, const struct gen_list *list,
		   unsigned number, unsigned skip, struct boot_menu *ret,
		   struct boot_place *ret_place, struct err *e);
/* Where the boot loader of these settings has its menu. Borrows from both. */
struct boot_place sys_menu_place(const struct sys_root *r, const struct sys_menu *settings);
/* Build and put in place as the boot loader reads it. */
int sys_menu_write(const struct sys_root *r, const struct gen_list *list, unsigned number,
		   unsigned skip, struct err *e);
/* The same on whatever partition is mounted there: the switch that is undone was to another one,
 * and that is where its menu may be. */
int sys_menu_restore(const struct sys_root *r, const struct gen_list *list, unsigned number,
		     unsigned skip, struct err *e);
/* What is on trial where the boot loader of the system at path counts boots; nothing where none are
 * counted. */
int sys_menu_count(const struct sys_root *r, const char *path, struct boot_count *ret,
		   struct err *e);
/* Generation number, whose item is at path, is to be booted: unless it is the one that came up well
 * last, the boot loader counts its boots and goes back to that one when they are used up. */
int sys_menu_begin_trial(const struct sys_root *r, unsigned number, const char *path,
			 struct err *e);
/* It is not, because the switch to it was undone: what was on trial before is again; NULL: nothing,
 * or not known. */
int sys_menu_end_trial(const struct sys_root *r, unsigned number, const char *path,
		       const struct boot_count *before, struct err *e);
/* Can the menu in which the generation at path is the default be written where it belongs? */
int sys_menu_check(const struct sys_root *r, const char *path, struct err *e);
/* Does the menu in place, of the boot loader of the system at path, start generation number? Where
 * there is no menu nothing but the profile says what starts: true. */
bool sys_menu_starts(const struct sys_root *r, const char *path, unsigned number);
/* Is there room for the menu and kernels of all generations of list and of number, whose item is at
 * path, which may be a new one? Changes nothing. */
int sys_menu_check_room(const struct sys_root *r, const struct gen_list *list, unsigned number,
			const char *path, struct err *e);
