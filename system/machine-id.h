/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /etc/machine-id: 32 hexadecimal digits that tell this machine from all others. Made at its first
 * boot and never again; no image, installation medium or generation holds one.
 */
#pragma once

#include "system/root.h"

/* Makes one where the running machine has none; below a scratch root nothing is done. */
int sys_machine_id_put(const struct sys_root *r, struct err *e);
