/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the root file system of a machine made from a system holds: the closure, the database that
 * says so, generation 1 and its links, the boot menu, and directories for the rest. Machine ids,
 * random seeds, host keys and temporary roots are not in it: activation and services make them.
 */
#pragma once

#include <stdbool.h>

#include "bootloader/bootloader.h"
#include "image/fill.h"
#include "image/manifest.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/tab.h"
#include "lib/vec.h"

/* A file that is no item's, for root alone. */
struct contents_private {
	const char *path; /* logical: "/etc/…" */
	const char *text;
};

struct contents {
	struct arena *arena;	      /* borrowed */
	const char *store_prefix;     /* in front of logical store paths; "" in a builder */
	const char *system;	      /* logical path of the generation */
	const struct vec *closure;    /* of struct store_info *, from closure_parse() */
	const struct boot_menu *menu; /* NULL: no menu */
	struct boot_place place;      /* of the menu */
	const char *work;	      /* directory for the database file */
	int64_t date; /* seconds: when the generation was made; 0: not told, as in an image */
	/* May be NULL: what items must be (store path -> struct digest *), who is told of progress
	 */
	const struct tab *want;
	void (*progress)(void *arg, uint64_t bytes);
	void *progress_arg;
	const struct contents_private *private; /* borrowed; text, too, until it is written */
	size_t nprivate;
	bool without_store;	  /* the items come from elsewhere, all that names them is here */
	bool links;		  /* the writer makes second names of files (man_entry.same) */
	bool boot_apart;	  /* the menu is not in the root: contents_boot() has it */
	struct manifest manifest; /* the result; manifest_done() it */
};

/* The menu of a machine whose only generation is system. */
int contents_menu(struct arena *a, const char *store_prefix, const char *system,
		  struct boot_menu *ret, struct boot_place *ret_place, struct err *e);
/* Fill c->manifest. */
int contents_make(struct contents *c, struct err *e);
/* Fill m with what a boot partition holds: the menu, and the kernels and initramfs it names. */
int contents_boot(const struct contents *c, struct manifest *m, struct err *e);
/* Add what the boot loader reads below directory dir of m ("" for its top). */
int contents_add_boot(const struct contents *c, struct manifest *m, const char *dir, struct err *e);
/* For fill_run(): makes the database once all items are hashed. */
struct fill_opts contents_fill(struct contents *c);
