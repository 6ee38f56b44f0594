/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * GRUB's environment block: 1 KiB of variables that a boot loader can write, too, and in it the
 * three of boot counting. What counts (GRUB, stage 1), what begins a trial (a switch) and what ends
 * it (the health gate) meet here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"

/* ---- The block ------------------------------------------------------------------------------- */

/* Overwritten in place, never renamed. */
#define BOOT_ENV_DIR  "boot/grub"
#define BOOT_ENV_FILE BOOT_ENV_DIR "/grubenv"
#define BOOT_ENV_SIZE 1024
void boot_env_format(char out[BOOT_ENV_SIZE]); /* without variables */
struct boot_var {
	const char *name, *value; /* value NULL: remove */
};
/* Set variables of the block in fd, all in one write and fsync; none when nothing changes. */
int boot_env_update(int fd, const struct boot_var *vars, size_t n, struct err *e);
/* Value of a variable, in arena; NULL in *ret when not set. */
int boot_env_get(int fd, struct arena *a, const char *name, const char **ret, struct err *e);
/* Make the block in dir, which is BOOT_ENV_DIR, when there is none, or none that can be
 * read. It must have its place on the disk before the boot loader ever writes to it. */
int boot_env_ensure(int dir, struct err *e);

/* ---- Boot counting --------------------------------------------------------------------------- */

#define BOOT_TRIES 3		/* boots that a generation on trial gets */
#define COUNT_GOOD "cairn_good" /* variables: the fields of struct boot_count */
#define COUNT_TRY  "cairn_try"
#define COUNT_LEFT "cairn_left"

struct boot_count {
	unsigned good;	/* generation that came up well last; 0: none is known */
	unsigned trial; /* generation on trial; 0: none */
	unsigned left;	/* boots it still gets, of BOOT_TRIES */
};

/* What the block in fd says; what is no number counts as 0. */
int boot_count_get(int fd, struct boot_count *ret, struct err *e);
/* Put the generation on trial, with that many boots; left BOOT_TRIES or less. */
int boot_count_set_trial(int fd, unsigned trial, unsigned left, struct err *e);

struct boot_choice {
	unsigned number; /* the generation that boots */
	bool counted;	 /* one of its tries is taken: trial and left of after must be saved */
	bool trial;	 /* there is a good one to go back to: nobody needs to help when it fails */
	struct boot_count after;
};

/* Which generation boots when def is the default. Until that one is the good one, it is on trial:
 * each boot takes one of its tries, and without a try left the good one boots. This does not depend
 * on the trial having been written at the switch. has_good: the good one is still there. */
struct boot_choice boot_count_choose(const struct boot_count *now, unsigned def, bool has_good);
