/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a program has of Lua's own library: allowed names in an empty table, and nothing that would
 * show an address or the collector at work.
 */
#pragma once

struct lua_State;

/* Push the table that every chunk has as _ENV. */
void base_push(struct lua_State *l);
