/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How much memory and how many instructions a program gets, and where in it they ran out. One
 * evaluation per process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/program/program.h"

struct lua_State;

void limits_set(const struct program *p);
/* Lua's allocator. */
void *limits_alloc(void *ud, void *p, size_t old, size_t n);
/* From now on instructions are counted, and it is known where memory is refused. */
void limits_watch(struct lua_State *l);

/* Bytes held by Lua and by nodes, and how many they may be. */
size_t *limits_used(void);
uint64_t limits_memory(void);
/* Note that memory was refused, and where; has it been? */
void limits_refuse(void);
bool limits_refused(void);
/* What is said then. */
const char *limits_message(char buf[640]);

/* "FILE:LINE" of the innermost Lua function at or above level; false when there is none. */
bool limits_place(struct lua_State *l, int level, char *out, size_t n, const char **ret_source);
