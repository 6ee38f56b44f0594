/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a kernel module says of itself: the section .modinfo of its ELF file. */
#pragma once

#include <stdbool.h>

#include "lib/slice.h"

/* The section of file; borrowed. False: it is no ELF file of 64 bits, or has no such section. */
bool modinfo_find(struct slice file, struct slice *ret);
/* Take the next "KEY=VALUE" off the section; false at its end. */
bool modinfo_next(struct slice *rest, struct slice *ret_key, struct slice *ret_value);
