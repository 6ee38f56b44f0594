/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The layout of the keyboard, as loadkeys --bkeymap writes it: "bkeymap", 256 bytes that say which
 * maps follow (each for some keys that are held down, such as shift), and of each of these the 128
 * values of its keys, 16 bits in the machine's order.
 */
#pragma once

#include "lib/err.h"

/* Load the file into the kernel; screen: a virtual terminal. Nothing of a file that is damaged is
 * loaded: -ERR_SYNTAX. */
int keymap_load(int screen, const char *file, struct err *e);
