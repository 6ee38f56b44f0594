/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Manual pages from the tables of commands: what "--help" says, in the man(7) macros.
 */
#pragma once

#include "lib/cmd.h"

/* Adds the page of a command of root, or root's own where cmd is root: its options, or those of
 * each command below it. The name of the page is "ROOT-COMMAND", its section 1. */
void manual_page(const struct cmd *root, const struct cmd *cmd, const char *version,
		 struct str *out);
