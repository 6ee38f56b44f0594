/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/program/base.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <string.h>

/* Text of the value at index as tostring() has it, but never an address. */
static void push_text(lua_State *l, int index)
{
	switch (lua_type(l, index)) {
	case LUA_TTABLE:
	case LUA_TUSERDATA:
		if (luaL_getmetafield(l, index, "__tostring") != LUA_TNIL) {
			lua_pop(l, 1);
			break;
		}
		__attribute__((fallthrough));
	case LUA_TFUNCTION:
	case LUA_TTHREAD:
	case LUA_TLIGHTUSERDATA:
		lua_pushstring(l, luaL_typename(l, index));
		return;
	default:
		break;
	}
	luaL_tolstring(l, index, NULL);
}

static int base_tostring(lua_State *l)
{
	luaL_checkany(l, 1);
	push_text(l, 1);
	return 1;
}

/* string.format, upvalue 1, with its objects turned into text first. */
static int base_format(lua_State *l)
{
	const char *f = luaL_checkstring(l, 1);
	int n = lua_gettop(l);

	for (; (f = strchr(f, '%')); f++) {
		f++;
		f += strspn(f, "-+ #0123456789.");
		if (*f == 'p')
			return luaL_error(l, "string.format: '%%p' would show an address");
		if (*f == '\0')
			break;
	}
	for (int i = 2; i <= n; i++) {
		int type = lua_type(l, i);
		if (type == LUA_TTABLE || type == LUA_TUSERDATA || type == LUA_TFUNCTION) {
			push_text(l, i);
			lua_replace(l, i);
		}
	}
	lua_pushvalue(l, lua_upvalueindex(1));
	lua_insert(l, 1);
	lua_call(l, n, 1);
	return 1;
}

static int base_setmetatable(lua_State *l)
{
	luaL_checktype(l, 1, LUA_TTABLE);
	luaL_argexpected(l, lua_istable(l, 2) || lua_isnil(l, 2), 2, "nil or table");
	if (luaL_getmetafield(l, 1, "__metatable") != LUA_TNIL)
		return luaL_error(l, "cannot change a protected metatable");
	if (lua_istable(l, 2)) {
		lua_getfield(l, 2, "__gc");
		lua_getfield(l, 2, "__mode");
		if (!lua_isnil(l, -1) || !lua_isnil(l, -2))
			return luaL_error(l, "a metatable may have neither __gc nor __mode: what "
					     "the collector does would show");
		lua_pop(l, 2);
	}
	lua_settop(l, 2);
	lua_setmetatable(l, 1);
	return 1;
}

static const char *const base_names[] = { "assert", "error",	"getmetatable", "ipairs",
					  "pcall",  "rawequal", "rawget",	"rawlen",
					  "rawset", "select",	"tonumber",	"type",
					  NULL };
static const char *const string_names[] = { "byte", "char",	"find",	 "gmatch",
					    "gsub", "len",	"lower", "match",
					    "pack", "packsize", "rep",	 "reverse",
					    "sub",  "unpack",	"upper", NULL };
static const char *const table_names[] = { "concat", "insert", "move", "pack",
					   "remove", "unpack", NULL };
static const char *const math_names[] = { "abs",	"ceil", "floor",      "fmod",
					  "huge",	"max",	"maxinteger", "min",
					  "mininteger", "modf", "pi",	      "sqrt",
					  "tointeger",	"type", "ult",	      NULL };
static const char *const utf8_names[] = { "char", "charpattern", "codepoint", "codes",
					  "len",  "offset",	 NULL };

/* Copy the allowed names of the library on top of the stack into the table below it; pops it. */
static void allow(lua_State *l, const char *const *names)
{
	for (; *names; names++) {
		lua_getfield(l, -1, *names);
		lua_setfield(l, -3, *names);
	}
	lua_pop(l, 1);
}

static void allow_library(lua_State *l, lua_CFunction open, const char *name,
			  const char *const *names)
{
	lua_newtable(l);
	lua_pushcfunction(l, open);
	lua_call(l, 0, 1);
	allow(l, names);
	lua_setfield(l, -2, name);
}

/* Methods of strings: the allowed table, and nobody gets at the metatable. */
static void guard_strings(lua_State *l)
{
	lua_getfield(l, -1, "string");
	lua_getfield(l, -1, "gsub");
	lua_pop(l, 1);
	lua_pushliteral(l, "");
	if (!lua_getmetatable(l, -1))
		luaL_error(l, "strings have no metatable");
	lua_pushvalue(l, -3);
	lua_setfield(l, -2, "__index");
	lua_pushliteral(l, "string");
	lua_setfield(l, -2, "__metatable");
	lua_pop(l, 3);
}

static void add_format(lua_State *l)
{
	lua_getfield(l, -1, "string");
	lua_pushcfunction(l, luaopen_string);
	lua_call(l, 0, 1);
	lua_getfield(l, -1, "format");
	lua_pushcclosure(l, base_format, 1);
	lua_setfield(l, -3, "format");
	lua_pop(l, 2);
}

/* luaopen_base needs a global table of its own, which is thrown away. */
void base_push(lua_State *l)
{
	lua_newtable(l);
	lua_pushcfunction(l, luaopen_base);
	lua_call(l, 0, 1);
	allow(l, base_names);
	allow_library(l, luaopen_string, "string", string_names);
	allow_library(l, luaopen_table, "table", table_names);
	allow_library(l, luaopen_math, "math", math_names);
	allow_library(l, luaopen_utf8, "utf8", utf8_names);
	add_format(l);
	guard_strings(l);
	lua_pushcfunction(l, base_tostring);
	lua_setfield(l, -2, "tostring");
	lua_pushcfunction(l, base_setmetatable);
	lua_setfield(l, -2, "setmetatable");
}
