/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Mapped devices that stage 1 opens, as the file /mapped of the initramfs lists them: one a line,
 *in the order to open, words separated by single blanks:
 *
 *	luks NEED /dev/mapper/NAME SOURCE TRIES discards|-
 *	raid NEED PATH UUID|- DISK…
 *	lvm NEED PATH GROUP/VOLUME
 *
 * NEED is "needed", or "wanted": the machine starts without it. SOURCE and DISK are named as roots
 * are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/slice.h"

#define MAPPED_DISKS 32

enum mapped_kind { MAPPED_LUKS, MAPPED_RAID, MAPPED_LVM };

struct mapped {
	enum mapped_kind kind;
	bool needed;
	const char *path;
	const char *source; /* luks: the device; raid: the UUID, or NULL; lvm: GROUP/VOLUME */
	const char *disks[MAPPED_DISKS + 1]; /* raid; NULL at the end */
	unsigned tries;
	bool discards;
};

/* One line, without its end, which is cut into the words that ret points to. */
int mapped_parse(char *line, struct mapped *ret, struct err *e);
/* Open all of a list; wait: seconds for a disk to appear. Passphrases are asked for on standard
 * input; for what is only wanted, or all when the machine is unattended, not without limit. What is
 * only wanted and cannot be opened is told in the log. */
int mapped_open_all(char *list, uint64_t wait, bool unattended, struct err *e);
