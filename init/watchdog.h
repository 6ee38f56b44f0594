/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The hardware watchdog: once it is open, the machine is reset unless it hears from PID 1 in time.
 * A machine without one, or whose driver comes later, is fine. Nothing here blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define WATCHDOG_DEVICE "/dev/watchdog0"
/* Seconds until it bites, as an int; <linux/watchdog.h>, which not every C library comes with. */
#define WATCHDOG_SET _IOWR('W', 6, int)
#define WATCHDOG_GET _IOR('W', 7, int)

/* Take over that of a life before. */
void watchdog_init(void);
/* It bites after so long without a word, in ns; 0: it is told to stop, and closed. Opens the device
 * when it is not open. */
void watchdog_set(uint64_t timeout);
/* A word. Tries to open a device that was not there. */
void watchdog_pet(void);
/* When to pet next, ns from now; 0: never. */
uint64_t watchdog_pause(void);
/* The last words: reset: keep watching over the end of the shutdown and the reset, for longer; else
 * stop it, for a machine that stays off. */
void watchdog_end(bool reset);
