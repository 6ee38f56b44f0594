/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables in a fixed order: numbers, strings by their bytes, booleans. */
#pragma once

struct lua_State;

/* Add raw.keys to the table on top. */
void order_open(struct lua_State *l);
