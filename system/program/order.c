/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "system/program/order.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "lib/slice.h"

struct key {
	int type;
	bool is_int;
	lua_Integer i;
	lua_Number f;
	const char *p; /* borrowed from the table, which holds the string */
	size_t n;
	int slot; /* position in the list of keys */
};

static int key_rank(const struct key *k)
{
	return k->type == LUA_TNUMBER ? 0 : k->type == LUA_TSTRING ? 1 : 2;
}

static int cmp_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int d = key_rank(x) - key_rank(y);

	if (d)
		return d;
	if (x->type == LUA_TSTRING)
		return slice_cmp((struct slice){ x->p, x->n }, (struct slice){ y->p, y->n });
	if (x->type == LUA_TNUMBER && x->is_int && y->is_int)
		return x->i < y->i ? -1 : x->i > y->i;
	return x->f < y->f ? -1 : x->f > y->f;
}

static void key_read(lua_State *l, int index, struct key *k)
{
	k->type = lua_type(l, index);
	if (k->type == LUA_TNUMBER) {
		k->is_int = lua_isinteger(l, index);
		k->i = k->is_int ? lua_tointeger(l, index) : 0;
		k->f = lua_tonumber(l, index);
	} else if (k->type == LUA_TSTRING) {
		k->p = lua_tolstring(l, index, &k->n);
	} else {
		k->f = lua_toboolean(l, index);
	}
}

/* raw.keys(t): list of its keys in the fixed order. */
static int raw_keys(lua_State *l)
{
	size_t n = 0;
	struct key *keys;

	luaL_checktype(l, 1, LUA_TTABLE);
	lua_settop(l, 1);
	lua_newtable(l); /* 2: the keys, any order */
	for (lua_pushnil(l); lua_next(l, 1); lua_pop(l, 1)) {
		int type = lua_type(l, -2);
		if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TBOOLEAN)
			return luaL_error(l,
					  "cannot visit a table with a %s as key: the order "
					  "would not be fixed",
					  lua_typename(l, type));
		lua_pushvalue(l, -2);
		lua_rawseti(l, 2, (lua_Integer)++n);
	}
	keys = lua_newuserdatauv(l, n * sizeof(*keys) + 1, 0); /* 3 */
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(l, 2, (lua_Integer)i + 1);
		keys[i].slot = (int)i + 1;
		key_read(l, -1, &keys[i]);
		lua_pop(l, 1);
	}
	qsort(keys, n, sizeof(*keys), cmp_key);
	lua_createtable(l, (int)n, 0); /* 4 */
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(l, 2, keys[i].slot);
		lua_rawseti(l, 4, (lua_Integer)i + 1);
	}
	return 1;
}

void order_open(lua_State *l)
{
	lua_pushcfunction(l, raw_keys);
	lua_setfield(l, -2, "keys");
}
