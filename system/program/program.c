/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The child's side of an evaluation: a Lua state with an environment built by adding allowed names
 * to an empty table, and the few functions in C that Lua cannot have otherwise. What can be said in
 * Lua is in system/lua/prelude.lua.
 *
 * A Lua error is a longjmp. C functions here own nothing while they can raise: memory they need is
 * Lua's, and what they build in the C heap (nodes, messages) is built by plain functions that
 * return before the error is raised.
 */
#include "system/program/program.h"

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "lib/str.h"
#include "lib/wire.h"
#include "system/graph.h"
#include "system/program/base.h"
#include "system/program/functions.h"
#include "system/program/limits.h"
#include "system/program/nodes.h"
#include "system/program/order.h"
#include "system/program/parent.h"

static const struct program *program; /* one evaluation per process */

/* The table of C functions and of what is asked for, which the prelude gets. */
static void push_raw(lua_State *l)
{
	const struct program *p = program;

	lua_newtable(l);
	functions_open(l);
	nodes_open(l);
	order_open(l);
	lua_pushstring(l, p->kind);
	lua_setfield(l, -2, "kind");
	lua_pushstring(l, p->text);
	lua_setfield(l, -2, "text");
	lua_pushstring(l, p->apply);
	lua_setfield(l, -2, "apply");
	lua_pushstring(l, p->display);
	lua_setfield(l, -2, "display");
	lua_pushstring(l, p->store_dir);
	lua_setfield(l, -2, "store_dir");
	lua_newtable(l);
	for (size_t i = 0; i < p->nargs; i++) {
		const char *eq = strchr(p->args[i], '=');
		lua_pushlstring(l, p->args[i], eq ? (size_t)(eq - p->args[i]) : strlen(p->args[i]));
		lua_pushstring(l, eq ? eq + 1 : "1");
		lua_settable(l, -3);
	}
	lua_setfield(l, -2, "args");
}

/* A list of results from the stack: { { key, text, kind }, … }; kind as in get_result(). */
static size_t put_results(lua_State *l, int index, struct str *out)
{
	size_t n = lua_rawlen(l, index);

	for (size_t i = 1; i <= n; i++) {
		struct slice v[2];
		lua_rawgeti(l, index, (lua_Integer)i);
		for (int k = 0; k < 2; k++) {
			lua_rawgeti(l, -1, k + 1);
			v[k].p = lua_tolstring(l, -1, &v[k].n);
			lua_pop(l, 1); /* the result list holds the string */
		}
		lua_rawgeti(l, -1, 3);
		wr_str(out, v[0]);
		wr_u64(out, (uint64_t)lua_tointeger(l, -1));
		wr_str(out, v[1]);
		nodes_want(v[1]);
		lua_pop(l, 2);
	}
	return n;
}

static void __attribute__((noreturn)) finish_result(lua_State *l, int index)
{
	struct str results = STR_INIT, out = STR_INIT;
	size_t n = put_results(l, index, &results);

	nodes_write(&out);
	wr_u64(&out, n);
	str_adds(&out, str_slice(&results));
	if (str_err(&out) || str_err(&results))
		parent_end(EVAL_MSG_ERROR, SLICE("out of memory"));
	parent_end(EVAL_MSG_RESULT, str_slice(&out));
}

static int run(lua_State *l)
{
	base_push(l);
	lua_rawseti(l, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); /* what chunks get as _ENV */
	lua_settop(l, 0);
	push_raw(l);

	lua_getfield(l, 1, "read");
	lua_pushinteger(l, 0);
	lua_pushliteral(l, PRELUDE);
	lua_call(l, 2, 1);
	if (!lua_isstring(l, 2))
		return luaL_error(l, "the modules directory has no " PRELUDE);
	if (luaL_loadbufferx(l, lua_tostring(l, 2), lua_rawlen(l, 2), "@" PRELUDE, "t") != LUA_OK)
		return lua_error(l);
	lua_pushvalue(l, 1);
	lua_call(l, 1, 1);
	finish_result(l, lua_gettop(l));
}

/* Ends the process with the message on top of the stack. */
static void __attribute__((noreturn)) finish_error(lua_State *l, int status)
{
	char buf[640];
	size_t n;
	const char *p = lua_tolstring(l, -1, &n);

	/* Modules that require others pass it on with text around it. */
	if (status == LUA_ERRMEM || (limits_refused() && p && strstr(p, "not enough memory")))
		parent_end(EVAL_MSG_ERROR, slice_of(limits_message(buf)));
	if (!p)
		parent_end(EVAL_MSG_ERROR,
			   SLICE("the program raised an error that is not a string"));
	parent_end(EVAL_MSG_ERROR, (struct slice){ p, n });
}

int program_main(int fd, void *arg)
{
	lua_State *l;
	int r;

	program = arg;
	parent_set(fd);
	limits_set(program);
	l = lua_newstate(limits_alloc, NULL);
	if (!l)
		parent_end(EVAL_MSG_ERROR, SLICE("out of memory"));
	limits_watch(l);
	/* What an evaluation makes it mostly keeps: collect when the memory has grown tenfold. */
	lua_gc(l, LUA_GCINC, 1000, 0, 0);
	lua_pushcfunction(l, run);
	r = lua_pcall(l, 0, 0, 0);
	finish_error(l, r);
}
