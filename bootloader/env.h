/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where the files of this directory find menu and environment block. (bootloader/loader.c) */
#pragma once

#include <limits.h>

#include "bootloader/bootloader.h"
#include "lib/bootenv.h"

#define BOOT_ENV_NAME "grubenv"

/* Directory of the menu; the latter makes it, where that is right, and opens it. */
int boot_menu_dir(const struct boot_place *p, char out[PATH_MAX], struct err *e);
int boot_dir_open(const struct boot_place *p, struct err *e);
/* The same for the environment block. */
int boot_env_dir(const struct boot_place *p, char out[PATH_MAX], struct err *e);
int boot_env_dir_open(const struct boot_place *p, struct err *e);
