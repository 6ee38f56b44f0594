/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Public interface of image/: commands only. Everything else is private to the module. */
#pragma once

#include "lib/cmd.h"

extern const struct cmd image_cmd_image;   /* cairn system image */
extern const struct cmd image_cmd_init;	   /* cairn system init */
extern const struct cmd image_cmd_install; /* cairn install */
extern const struct cmd image_cmd_vm;	   /* cairn system vm */
/* cairn builder …, hidden */
extern const struct cmd image_cmd_builder_image_docker;
extern const struct cmd image_cmd_builder_image_initramfs;
extern const struct cmd image_cmd_builder_image_iso;
extern const struct cmd image_cmd_builder_image_qcow2;
extern const struct cmd image_cmd_builder_image_raw;
extern const struct cmd image_cmd_builder_image_tarball;
