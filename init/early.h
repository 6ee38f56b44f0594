/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What PID 1 does to the kernel at the very beginning. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Mount what is missing of /proc /sys /dev /run /sys/fs/cgroup and below; messages only. */
void early_mounts(void);
void early_devices(void); /* modes of those that the kernel makes for root alone */
/* Messages go to /dev/kmsg when it is there, else to standard error. */
void early_log(bool pid1);
/* Additional writer for messages: the pipe to the logger; -1: none. Never blocks. */
void early_log_pipe(int fd);
/* Value of KEY=… on the kernel's command line; the last one counts. */
bool early_kernel_arg(const char *key, char *out, size_t size);
/* Is this a boot that the boot loader counts (cairn.trial=)? Then nobody may be there to see. */
bool early_on_trial(void);
/* Is the word there as it is? */
bool early_kernel_word(const char *word);
void early_hostname(const char *name); /* NULL: nothing */
void early_booted_system(const char *system);
