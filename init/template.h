/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Templates of services: "[service NAME@]" is none, but what each "NAME@INSTANCE" is made of. Text
 * only. */
#pragma once

#include <stdbool.h>

#include "lib/slice.h"
#include "lib/str.h"

/* "getty@tty1": length of "getty@"; 0: the name is of no instance. */
size_t template_of(struct slice name);
/*
 * Add to out a section "[x]" with what stands below the header in that line of text, at the same
 * line numbers: %i becomes the instance of name, %n the name, %% a percent sign.
 */
void template_expand(struct slice text, unsigned line, struct slice name, struct str *out);
/* Is there a section [service NAME] in text? */
bool template_text_has(struct slice text, struct slice name);
/* The name when line is "[service NAME]", else an empty slice. */
struct slice template_header(struct slice line);
