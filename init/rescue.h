/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shell of the initramfs, for people. */
#pragma once

#include <stdbool.h>

/* A shell on every console, until one of them is left. true when one ran. */
bool rescue_shell(void);
