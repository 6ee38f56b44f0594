/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What PID 1 does to the kernel at the very end, when nothing runs any more. All of it is bounded
 * in time. */
#pragma once

/* Swap off, file systems unmounted in reverse order, loop devices detached, what is in use
 * read-only and aside, the root read-only, everything synced. Says what stayed. Not as PID 1: sync
 * alone. */
void final_unmount(void);
/* reboot(2); returns where that is not allowed (containers). cmd is RB_… or
 * FINAL_KEXEC; that without a kernel is a reboot. */
#define FINAL_KEXEC 0x45584543
void final_reboot(int cmd);
