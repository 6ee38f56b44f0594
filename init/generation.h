/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which generation stage 1 starts where there is no boot loader that counts. */
#pragma once

#include "init/root.h"

/* The default generation of the root file system at dir, or the one that came up well last when the
 * tries of the default are used up (doc/boot.md); its system and init become those of s, and
 * whether it is on trial. A try is taken before this returns. */
int generation_choose(const char *dir, struct root_spec *s, struct err *e);

/* Do both systems have the same kernel, initramfs and parameters but for cairn.system=? */
bool generation_same_kernel(const char *dir, const char *one, const char *other);

/* Start the kernel of the system, with its initramfs and parameters, in place of the one that runs.
 * Returns only when that is not possible, with nothing changed: -EPERM, -ENOSYS and the like when
 * the kernel that runs cannot do it, *ret_damaged when the files are what is wrong. */
int generation_kexec(const char *dir, const struct root_spec *s, bool *ret_damaged, struct err *e);
