/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The root device: what the kernel's command line says about it, and the wait for it. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/slice.h"

#define ROOT_INITRAMFS "initramfs" /* no device: cairn.image lies in the initramfs */

struct root_spec {
	char root[256]; /* LABEL= UUID= PARTUUID= PARTLABEL= or /dev/…; ROOT_INITRAMFS */
	char type[32];	/* "" : as probed */
	char flags[512];
	char system[PATH_MAX]; /* cairn.system= */
	char init[PATH_MAX];   /* init=, else <system>/init */
	char image[256];       /* cairn.image=: file on the root device that holds the real root */
	char store[32];	       /* cairn.store=: tag of a 9p file system with the store's items */
	bool is_volatile;      /* cairn.volatile: nothing is written, memory lies above */
	bool read_only;
	bool no_fsck;
	bool shell;	/* cairn.rescue: a shell before the root is mounted */
	uint64_t wait;	/* seconds for the device to appear */
	uint64_t panic; /* seconds before the reboot after a failure; 0: stay */
	bool has_panic;
	bool trial;	     /* cairn.trial=: nobody may be there, the boot loader knows better */
	unsigned left;	     /* tries of the trial, when stage 1 counts */
	uint64_t generation; /* generation=: this one instead of cairn.system; 0: none */
	bool choose;	     /* generation=default: the one that is to boot; boots are counted */
	uint64_t watchdog;   /* cairn.watchdog=: seconds; 0: none */
};

/* From the text of /proc/cmdline. Unknown words are left alone; later ones win. "double quotes"
 * group as in the kernel. Errors: a value too long; the words after it count all the same. */
int root_parse(struct slice cmdline, struct root_spec *ret, struct err *e);

/* Wait at most so many seconds for a block device that is named like a root. -ETIMEDOUT: none came.
 * ret_type: probed type of what is on it, "" when unknown. */
int root_wait_device(const char *name, uint64_t seconds, char ret_device[PATH_MAX],
		     char ret_type[32]);
/* Wait for the device. ret_type: probed type of its file system, "" when unknown. */
int root_wait(const struct root_spec *spec, char ret_device[PATH_MAX], char ret_type[32],
	      struct err *e);
/* The system of generation N on the root file system at dir becomes that of spec: its store path
 * and its init. Links are those of that root. */
int root_generation(const char *dir, struct root_spec *spec, struct err *e);
/* Number of the generation that the profile at dir names. */
int root_default(const char *dir, unsigned *ret, struct err *e);
/* Open a file below dir, whose links are those of a root there. Returns a descriptor or -errno;
 * -ENOSYS on kernels that do not know how. */
int root_open(const char *dir, const char *path, int flags);
/* Is path on the root at dir a program? Must be asked before the initramfs is deleted. Kernels that
 * do not know how say yes, here and below. */
int root_check_init(const char *dir, const char *path, struct err *e);
/* Does the system of spec have what each start of it needs, its init and its services? What a disk
 * has lost is empty or zeroes as often as it is gone. */
int root_check_system(const char *dir, const struct root_spec *spec, struct err *e);
/* Numbers of the generations at dir, ascending; at most max. */
size_t root_generations(const char *dir, unsigned *ret, size_t max);
/* mount(2) flags and remaining data of rootflags=. data: at least as long as options. */
unsigned long root_mount_flags(const char *options, char *data);
