/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/program/functions.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>

#include "init/init.h"
#include "lib/str.h"
#include "lib/text.h"
#include "store/store.h"
#include "system/graph.h"
#include "system/program/limits.h"
#include "system/program/parent.h"

/* Shared with Lua by raw.read and others; kept, since an error may jump over them. */
static int push_answer(lua_State *l, enum eval_msg what)
{
	static struct str reply = STR_INIT;
	uint64_t root = (uint64_t)luaL_checkinteger(l, 1);
	uint64_t type = parent_ask(what, root, luaL_checkstring(l, 2), &reply);

	if (type == EVAL_MSG_FILE) {
		lua_pushlstring(l, reply.buf, reply.len);
		return 1;
	}
	lua_pushnil(l);
	if (type == EVAL_MSG_NOFILE)
		return 1;
	lua_pushlstring(l, reply.buf, reply.len);
	return 2;
}

/* raw.read(root, path): contents, or nil and why (why is nil when there is no such file). */
static int raw_read(lua_State *l)
{
	return push_answer(l, EVAL_MSG_READ);
}

/* raw.exists(root, path): a string, or nil and why. */
static int raw_exists(lua_State *l)
{
	return push_answer(l, EVAL_MSG_EXISTS);
}

/* raw.near_module(root, path): the name of a module beside path that may have been meant, or nil.
 */
static int raw_near_module(lua_State *l)
{
	return push_answer(l, EVAL_MSG_NEAREST);
}

static int raw_log(lua_State *l)
{
	size_t n;
	const char *p = luaL_checklstring(l, 1, &n);

	parent_log((struct slice){ p, n });
	return 0;
}

/* raw.load(text, chunk name): function, or nil and message. Never bytecode. */
static int raw_load(lua_State *l)
{
	size_t n;
	const char *p = luaL_checklstring(l, 1, &n), *name = luaL_checkstring(l, 2);

	if (luaL_loadbufferx(l, p, n, name, "t") == LUA_OK)
		return 1;
	lua_pushnil(l);
	lua_insert(l, -2);
	return 2;
}

static int raw_hash(lua_State *l)
{
	size_t n;
	const char *p = luaL_checklstring(l, 1, &n);
	struct digest d = digest_of(DIGEST_SHA256, p, n);
	char hex[DIGEST_TEXT_MAX];

	digest_hex(&d, hex);
	lua_pushstring(l, hex);
	return 1;
}

/* raw.metafield(v, name): also of protected metatables. */
static int raw_metafield(lua_State *l)
{
	luaL_checkany(l, 1);
	if (luaL_getmetafield(l, 1, luaL_checkstring(l, 2)) == LUA_TNIL)
		lua_pushnil(l);
	return 1;
}

/* raw.is_duration(text): as PID 1 and the commands read one. */
static int raw_is_duration(lua_State *l)
{
	uint64_t ns;
	struct slice text;

	text.p = luaL_checklstring(l, 1, &text.n);
	lua_pushboolean(l, text_duration(text, &ns) == 0);
	return 1;
}

/* raw.is_hash(algorithm, text) */
static int raw_is_hash(lua_State *l)
{
	struct digest d;
	enum digest_algo algo;
	struct slice name, text;

	name.p = luaL_checklstring(l, 1, &name.n);
	text.p = luaL_checklstring(l, 2, &text.n);
	lua_pushboolean(l,
			digest_algo_parse(name, &algo) == 0 && digest_parse(algo, text, &d) == 0);
	return 1;
}

/* raw.nearest(word, list): the element worth suggesting, or nil. */
static int raw_nearest(lua_State *l)
{
	const char *word = luaL_checkstring(l, 1), *best, **names;
	size_t n, count = 0;

	luaL_checktype(l, 2, LUA_TTABLE);
	n = lua_rawlen(l, 2);
	names = lua_newuserdatauv(l, (n + 1) * sizeof(*names), 0);
	for (size_t i = 1; i <= n; i++) {
		lua_rawgeti(l, 2, (lua_Integer)i);
		if (lua_type(l, -1) == LUA_TSTRING)
			names[count++] = lua_tostring(l, -1); /* the list holds it */
		lua_pop(l, 1);
	}
	best = text_nearest(word, names, count);
	lua_pushstring(l, best); /* nil when NULL */
	return 1;
}

/* raw.service_set_error(text): what PID 1 would say of a service set, "set:LINE: …", or nil. */
static int raw_service_set_error(lua_State *l)
{
	struct err e = ERR_INIT;
	struct slice text;

	text.p = luaL_checklstring(l, 1, &text.n);
	if (init_set_check_text(text, "set", &e) == 0)
		return 0;
	lua_pushstring(l, e.msg);
	return 1;
}

/* raw.public_keys(text): "guix", "nix" or "both" are in it; or nil, and what is wrong. */
static int raw_public_keys(lua_State *l)
{
	struct err e = ERR_INIT;
	struct slice text;
	bool guix = false, nix = false;

	text.p = luaL_checklstring(l, 1, &text.n);
	if (store_keys_check(text, &guix, &nix, &e) == 0) {
		lua_pushstring(l, !nix ? "guix" : guix ? "both" : "nix");
		return 1;
	}
	lua_pushnil(l);
	lua_pushstring(l, e.msg);
	return 2;
}

static int located_call(lua_State *l)
{
	char at[512];
	const char *source = "?";

	if (!limits_place(l, 1, at, sizeof(at), &source))
		snprintf(at, sizeof(at), "?");
	lua_pushvalue(l, lua_upvalueindex(1));
	lua_insert(l, 1);
	lua_pushstring(l, at);
	lua_insert(l, 2);
	if (lua_toboolean(l, lua_upvalueindex(2))) {
		lua_pushstring(l, source);
		lua_insert(l, 3);
	}
	lua_call(l, lua_gettop(l) - 1, LUA_MULTRET);
	return lua_gettop(l);
}

/* raw.located(f, with_source): a C function, so that a tail call keeps the caller on the stack. */
static int raw_located(lua_State *l)
{
	luaL_checktype(l, 1, LUA_TFUNCTION);
	lua_settop(l, 2);
	lua_pushcclosure(l, located_call, 2);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "exists", raw_exists },
	{ "is_duration", raw_is_duration },
	{ "is_hash", raw_is_hash },
	{ "hash", raw_hash },
	{ "load", raw_load },
	{ "located", raw_located },
	{ "log", raw_log },
	{ "metafield", raw_metafield },
	{ "near_module", raw_near_module },
	{ "nearest", raw_nearest },
	{ "public_keys", raw_public_keys },
	{ "read", raw_read },
	{ "service_set_error", raw_service_set_error },
	{ NULL, NULL },
};

void functions_open(lua_State *l)
{
	luaL_setfuncs(l, functions, 0);
}
