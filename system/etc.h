/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * /etc from a generation: /etc/static is a link to the generation's etc, and every file of it gets
 * a link /etc/PATH -> /etc/static/PATH. Replacing the one link changes all files at once; links
 * whose file is gone are removed afterwards. Files of the machine (passwd, cairn/system.lua, …)
 * are not touched; one that is in the way is kept as NAME.saved.
 */
#pragma once

#include "system/root.h"

int etc_apply(const struct sys_root *r, const char *system, struct err *e);
