/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Nodes as values of the program: node.name, node.outputs, node.OUTPUT, placeholders in strings. */
#pragma once

#include "lib/slice.h"
#include "lib/str.h"

struct lua_State;

/* Add raw.node, raw.is_node and raw.flaw to the table on top. */
void nodes_open(struct lua_State *l);

/* What a text mentions is for the result; append all of that (made_write). */
void nodes_want(struct slice text);
void nodes_write(struct str *out);
