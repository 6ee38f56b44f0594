/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/program/limits.h"

#include <lua.h>
#include <stdio.h>
#include <string.h>

#include "system/program/parent.h"
#include "system/program/pool.h"

#define HOOK_STEP 1000

static struct {
	const struct program *program;
	struct pool pool;
	size_t used;
	uint64_t steps;
	lua_State *lua;	     /* NULL until there is one */
	char memory_at[512]; /* "FILE:LINE" where memory was last refused */
	bool refused;
} limits;

void limits_set(const struct program *p)
{
	limits.program = p;
}

size_t *limits_used(void)
{
	return &limits.used;
}

uint64_t limits_memory(void)
{
	return limits.program->memory;
}

bool limits_place(lua_State *l, int level, char *out, size_t n, const char **ret_source)
{
	lua_Debug ar;

	for (; lua_getstack(l, level, &ar); level++) {
		lua_getinfo(l, "Sl", &ar);
		if (ar.currentline <= 0)
			continue;
		snprintf(out, n, "%s:%d", ar.source + (ar.source[0] == '@' || ar.source[0] == '='),
			 ar.currentline);
		if (ret_source)
			*ret_source = ar.source + 1;
		return true;
	}
	return false;
}

/* Where a limit was hit: "FILE:LINE" of the innermost function that is not the prelude's; empty
 * when there is none. */
static void place(lua_State *l, char *out, size_t n)
{
	const char *source = PRELUDE;

	for (int level = 0; strcmp(source, PRELUDE) == 0; level++)
		if (!limits_place(l, level, out, n, &source)) {
			out[0] = '\0';
			return;
		}
}

/* Lua's error for this has no place, so remember it: asking for one allocates nothing. */
void limits_refuse(void)
{
	limits.refused = true;
	if (limits.lua)
		place(limits.lua, limits.memory_at, sizeof(limits.memory_at));
}

bool limits_refused(void)
{
	return limits.refused;
}

const char *limits_message(char buf[640])
{
	snprintf(buf, 640, "%s%smemory limit of %llu MiB exceeded", limits.memory_at,
		 limits.memory_at[0] ? ": " : "",
		 (unsigned long long)(limits.program->memory >> 20));
	return buf;
}

void *limits_alloc(void *ud, void *p, size_t old, size_t n)
{
	void *q;

	if (!p)
		old = 0; /* Lua passes the kind of object */
	if (n > old && limits.used + (n - old) > limits.program->memory) {
		limits_refuse();
		return NULL;
	}
	q = pool_resize(&limits.pool, p, old, n);
	if (q || n == 0)
		limits.used += n - old;
	return q;
}

/* Beyond the limit there is no way back: an error could be caught by pcall(). */
static void count_hook(lua_State *l, lua_Debug *ar)
{
	char at[512], msg[640];

	limits.steps += HOOK_STEP;
	if (limits.steps <= limits.program->instructions)
		return;
	place(l, at, sizeof(at));
	snprintf(msg, sizeof(msg), "%s%sinstruction limit of %llu million exceeded", at,
		 at[0] ? ": " : "", (unsigned long long)(limits.program->instructions / 1000000u));
	parent_end(EVAL_MSG_ERROR, slice_of(msg));
}

void limits_watch(lua_State *l)
{
	limits.lua = l;
	lua_sethook(l, count_hook, LUA_MASKCOUNT, HOOK_STEP);
}
