/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the program in the box says to its parent, and asks of it. */
#pragma once

#include <stdint.h>

#include "lib/slice.h"
#include "lib/str.h"
#include "system/graph.h"

/* The socket to it; before anything else. */
void parent_set(int fd);
/* The last word. */
void __attribute__((noreturn)) parent_end(enum eval_msg type, struct slice text);
/* Ask about a path below a root; the type of the answer, which is in *reply. */
uint64_t parent_ask(enum eval_msg what, uint64_t root, const char *path, struct str *reply);
void parent_log(struct slice text);
