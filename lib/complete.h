/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Completion of command lines from the table of commands (lib/cmd.h), so that it knows what they
 * know. */
#pragma once

#include <stddef.h>

#include "lib/cmd.h"

/* Add what the last of n words (without that of the program) may become, a line each. Nothing: what
 * may be there is not known. */
void complete_words(const struct cmd *root, char *const *words, size_t n, struct str *out);

/* The script that has a shell ask "PROG complete -- WORD…"; NULL: the shell is not known. */
const char *complete_script(const char *shell);
