/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What Lua cannot have otherwise: files, hashes, what PID 1 and the commands would say. */
#pragma once

struct lua_State;

/* Add these functions to the table on top. */
void functions_open(struct lua_State *l);
