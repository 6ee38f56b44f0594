/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A system into the mounted root of another machine. Cut off at any moment and run again it
 * completes: while it is unfinished DIR/.cairn-install says so, store items have their names only
 * when they are complete, the database comes after all of them, the boot menu last.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/vec.h"

struct store_conn;

struct install_opts {
	const char *dir;    /* mounted root of the machine to be */
	const char *system; /* logical path of the generation */
	/* GRUB's files for each kind of machine and where they go; NULL: not wanted. An ESP without
	 * them is for a system that keeps its kernels there. */
	const char *bios_dir, *boot_disk; /* physical; device or file */
	const char *efi_dir, *esp;	  /* physical; mounted */
	bool dry_run;			  /* only what can be refused, and what it would take */
	/* Called now and then: bytes of file contents written so far, and in all; may be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t all);
	void *arg;
};

struct install_result {
	size_t items, kept;   /* of the store; those that were there already */
	uint64_t bytes;	      /* written, of file contents */
	uint64_t need, spare; /* bytes before writing: needed, and free */
};

/* What can be refused before anything is written: DIR is no directory, holds another installation
 * or a store that is not ours, or runs. The system's closure must be valid in conn. On the ESP a
 * BOOTX64.EFI that differs is kept as BOOTX64.EFI.saved; nothing else there is touched. */
int install_system(const struct install_opts *o, struct store_conn *conn,
		   struct install_result *ret, struct err *e);
