/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Public interface of the boot loaders: install, write the menu, mark good.
 *
 * What a generation needs to boot is stored in the generation itself, in GENERATION/boot/entry
 * (format: doc/boot.md), so that a menu can be written at any time from the generations alone: no
 * evaluation, no daemon, no network. root is always the directory that stands for "/" of the
 * machine: "" or "/" on the running system, the mount point or a scratch directory otherwise.
 * The rest is the same for every kind of boot loader; struct boot_place says which one it is.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/bootenv.h"
#include "lib/err.h"
#include "lib/slice.h"
#include "lib/str.h"
#include "lib/vec.h"

/* ---- Kinds of boot loader (bootloader/loader.c) ---------------------------------------------- */

enum boot_type {
	BOOT_GRUB,     /* reads kernels from /boot/cairn of the root's file system */
	BOOT_EFI,      /* our own program on an EFI system partition, with kernels beside it */
	BOOT_EXTLINUX, /* extlinux.conf with kernels beside it, for a loader of the machine's own */
	BOOT_NONE,     /* the machine is started some other way */
	BOOT_TYPE_MAX,
};

/* Where a machine has what its boot loader reads. */
struct boot_place {
	const char *root;  /* "" or the directory that stands for "/" of the machine */
	const char *store; /* "" or the directory in front of /gnu/store */
	enum boot_type type;
	const char *dir; /* BOOT_EFI, BOOT_EXTLINUX: mount point of the boot partition, as the
			  * machine calls it: "/boot/efi" */
	/* The file system that dir is on, as the configuration declares it; NULL or "": it is that
	 * of the root, or a generation of before this was written does not say. */
	const char *mount_point, *fs_type;
	const char *partition; /* "LABEL=ESP", "/dev/vda1"; NULL or "": it has no device */
};

/* "grub"; BOOT_TYPE_MAX when name is none. */
const char *boot_type_name(enum boot_type type);
enum boot_type boot_type_find(struct slice name);
/* Are the boots of a generation on trial counted? Without a boot loader stage 1 may do it, which
 * makes the environment block then. */
bool boot_counts(const struct boot_place *p);

/* ---- Boot data of one generation (bootloader/entry.c) ---------------------------------------- */

#define BOOT_LABEL_MAX 200
/* x86 kernels cut the command line at 2048, and GRUB adds BOOT_IMAGE= and the count of a trial. */
#define BOOT_PARAMETERS_MAX 1900
#define BOOT_ENTRY_FILE	    "boot/entry"

struct boot_entry {
	const char *label;	/* for people, one line of UTF-8: "Cairn, host 'stone'" */
	const char *version;	/* of the kernel: "6.1.176"; "" when unknown */
	const char *kernel;	/* absolute clean path: /gnu/store/…-linux-6.1.176/bzImage */
	const char *initrd;	/* absolute clean path, or "" for none */
	const char *parameters; /* the whole kernel command line, cairn.system=… included */
};

/* Can text be the label of an entry? Also one that does not stand in its file. */
int boot_label_check(const char *label, struct err *e);
/* Text of the file. -ERR_INVALID when a field cannot be stored (newline, control byte, too long,
 * relative path). */
int boot_entry_format(const struct boot_entry *b, struct str *out, struct err *e);
/* Strict: every line known, each key once, all required ones there. Strings in arena. file is for
 * messages. */
int boot_entry_parse(struct arena *a, struct slice text, const char *file, struct boot_entry *ret,
		     struct err *e);
/* Read ROOT SYSTEM/boot/entry; system is the logical path of a generation item. */
int boot_entry_load(struct arena *a, const char *root, const char *system, struct boot_entry *ret,
		    struct err *e);

/* ---- Menu ------------------------------------------------------------------------------------ */

struct boot_item {
	unsigned number; /* of the generation, from 1 */
	int64_t date;	 /* Unix seconds when it was made; shown in UTC, left out when below 2 */
	struct boot_entry entry;
};

/* An entry that is no generation: a kernel, or another boot loader. */
struct boot_extra {
	const char *title;
	const char *device; /* LABEL=… or UUID=… of a file system, or a disk as GRUB calls it
			     * ("hd1", "hd0,gpt2"); "": the file system of the menu */
	const char *chain;  /* file of another boot loader, BOOT_SECTOR; "": none, a kernel */
	const char *kernel; /* these as in struct boot_entry */
	const char *initrd;
	const char *parameters;
};
#define BOOT_SECTOR "+1"

#define BOOT_WAIT UINT_MAX /* until somebody chooses */

struct boot_menu {
	const struct boot_item *items; /* borrowed; any order, shown newest first */
	size_t nitems;
	unsigned default_number; /* must be the number of one of items */
	unsigned timeout;	 /* seconds the menu waits; 0: boots at once; BOOT_WAIT */
	bool hidden;		 /* show nothing while waiting, Esc brings the menu */
	bool serial;		 /* menu on the serial line as well as on the screen */
	unsigned serial_unit;	 /* 0 is COM1 */
	unsigned serial_speed;	 /* 0: 115200 */
	/* Terminals of the menu in place of what serial says: "console", "serial" (serial_unit),
	 * "serial_0" to "serial_3"; NULL at the end. NULL or empty: as serial says. GRUB only */
	const char *const *inputs, *const *outputs;
	const char *fs_uuid; /* file system of the kernels; NULL: the one that holds the menu */
	const struct boot_extra *extras; /* shown after the generations; GRUB, and kernels on the
					  * partition of extlinux */
	size_t nextras;
	const char *default_title; /* of the one that starts, in place of default_number; or NULL */
};

/* Is it one that inputs and outputs may name? */
bool boot_terminal_ok(const char *name);
/* -ERR_INVALID when it cannot be an entry of a menu. */
int boot_extra_check(const struct boot_extra *x, struct err *e);

/* GRUB's menu for a medium that has files under the paths of the entries. Everything variable goes
 * through one quoting function. -ERR_INVALID for an empty menu, repeated numbers, a missing
 * default. */
int boot_menu_text(const struct boot_menu *menu, struct str *out, struct err *e);

/* Put the menu in place: when this returns 0 the boot loader, which does not replay journals, reads
 * the new menu and every file it names; on failure or after a crash at any point it reads the old
 * one. Where the file system cannot be frozen (no privilege, tmpfs) it is synced instead.
 * The closure and boot files the menu names must be complete before. */
int boot_write_menu(const struct boot_place *p, const struct boot_menu *menu, struct err *e);
/* Could a menu be written? -ERR_INVALID, -ERR_NOTFOUND: not the right partition is there. */
int boot_check(const struct boot_place *p, struct err *e);
/* Is there room for it, with every new file beside what it replaces? -ERR_SPACE with numbers.
 * Changes nothing; boot_write_menu() looks once more. */
int boot_check_room(const struct boot_place *p, const struct boot_menu *menu, struct err *e);
/* Number of the generation that the menu in place starts; 0: no menu, or not one of ours. */
int boot_menu_default(const struct boot_place *p, unsigned *ret, struct err *e);
/* Can the boot loader fall back to generation number: is that in the menu in place? Where it is
 * stage 1 that falls back, which reads no menu, it can. */
int boot_menu_has(const struct boot_place *p, unsigned number, bool *ret, struct err *e);
/* The text of the menu in place is added to out; none: nothing is. */
int boot_menu_read(const struct boot_place *p, struct str *out, struct err *e);
#define BOOT_MENU_FILE "boot/grub/grub.cfg"

/* Where switches make and remove files on an EFI system partition. A directory of FAT that grows
 * while the power goes ends in a cluster that is free, and whoever finds that takes it for damaged;
 * so this one has room from the beginning for all that will ever be in it. Entries are of 32 bytes.
 * A generation with kernel and initramfs of its own takes 8, since their long names take 4 each;
 * the directory itself, menus, block and what a cut switch left take less than 24. So 1024 are
 * enough for 125 such generations, for which a partition would have to have gigabytes. */
#define BOOT_EFI_DIR   "EFI/cairn"
#define BOOT_DIR_SLOTS 1024
#define BOOT_DIR_SIZE  (BOOT_DIR_SLOTS * 32)

/* What a boot loader reads of a machine that is only being made, as files: below the boot partition
 * (BOOT_EFI, BOOT_EXTLINUX) or the root. */
struct boot_file {
	const char *path;   /* "EFI/cairn/menu" */
	const char *source; /* behind the prefix of the store; NULL: the bytes are in data */
	struct slice data;
	uint64_t size;
	bool is_menu; /* the text that counts may be in another one: boot_menu_read() */
};
/* struct boot_file * in arena, sorted by path; nothing for BOOT_NONE. */
int boot_files(const struct boot_place *p, const struct boot_menu *m, struct arena *a,
	       struct vec *ret, struct err *e);
/* Put EFI/BOOT/BOOTX64.EFI, which firmware looks for by itself, on the partition mounted at esp.
 * The first one of somebody else's is kept beside it with ".saved" behind its name. */
int boot_program_write(const char *esp, struct slice program, struct err *e);
/* The partition mounted at esp is the one: later on only one that was claimed is written to. Its
 * BOOT_EFI_DIR has BOOT_DIR_SLOTS then, where it is FAT. */
int boot_claim(const char *esp, struct err *e);

/* ---- Boot counting (bootloader/count.c, lib/bootenv.h) --------------------------------------- */

/* What the environment block says; no block, a damaged one, or what is no number counts as 0. */
int boot_count_load(const struct boot_place *p, struct boot_count *ret, struct err *e);
/* There is a block, and it is none. Whatever writes to it makes it anew. */
bool boot_count_is_damaged(const struct boot_place *p);
/* Generation number is to be booted for the first time: it gets BOOT_TRIES boots, unless it is the
 * good one. The block is made when it is missing. */
int boot_trial_begin(const struct boot_place *p, unsigned number, struct err *e);
/* Generation number will not be booted after all: what was on trial before is again, unless it came
 * up well meanwhile. before: what boot_count_load() said then; NULL: nothing was. */
int boot_trial_end(const struct boot_place *p, unsigned number, const struct boot_count *before,
		   struct err *e);
/* Generation number came up well: it is what the menu falls back to; its trial is over. */
int boot_mark_good(const struct boot_place *p, unsigned number, struct err *e);

/* ---- Installation (bootloader/embed.c) ------------------------------------------------------- */

/* GRUB's parts for BIOS machines: 512 bytes of boot code, and a core image. */
struct boot_code {
	struct slice boot; /* boot.img */
	struct slice core; /* core.img */
};

#define BOOT_CODE_SIZE 440 /* bytes of it in the first sector; then disk id, table, signature */

/* Write boot code into the MBR (its partition table and disk id stay) and core into the sectors
 * start…start+count-1 of the disk or image open as fd, patched to find each other. Parts that are
 * already there are not written; *ret_changed (may be NULL) tells. On a device the core is there,
 * for sure, before the MBR leads to it; the MBR is not synced. */
int boot_embed(int fd, uint64_t start, uint64_t count, const struct boot_code *code,
	       bool *ret_changed, struct err *e);

/* Install on the disk whose GPT has a BIOS boot partition: boot_embed there, then sync. code_dir is
 * a directory with boot.img and core.img (GENERATION/boot/grub). */
int boot_install(const char *disk, const char *code_dir, bool *ret_changed, struct err *e);
