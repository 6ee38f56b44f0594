/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one way out of a life of PID 1 and into the next: a fault, or a request, executes the binary
 * again with the file of its state.
 */
#pragma once

#include <stdbool.h>

/* Handle faults from here on. argv: of main; its options go on to the next life. exe: descriptor of
 * the binary, -1: none. */
void crash_init(char **argv, int exe);
/* Execute exe (a descriptor) in place of this program; returns -errno when that failed, and nothing
 * has changed. */
int crash_exec(int exe);
