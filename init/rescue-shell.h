/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The console of last resort: the rescue program of [init], on /dev/console. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Take over that of a life before. */
void rescue_init(void);
/* Start it, unless it runs; on a boot on trial nobody is there, and the machine reboots. */
void rescue_shell(const char *why);
/* A child has ended: was it that one? Then the machine reboots. */
bool rescue_ended(pid_t pid, int status);
