/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * C functions here own nothing while they can raise (system/program/program.c): what they build in
 * the C heap is built by plain functions that return before the error is raised.
 */
#include "system/program/nodes.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "lib/wire.h"
#include "system/graph.h"
#include "system/program/limits.h"
#include "system/program/made.h"
#include "system/program/parent.h"

#define NODE_META     "cairn.node"
#define LIMIT_PAYLOAD ((size_t)32 << 20)
#define LIMIT_NEST    4

static struct made_list list; /* one evaluation per process */

/* Serialise strings and lists of strings on the stack at index: no allocation in Lua, no raise. */
static bool put_value(lua_State *l, int index, struct str *out, int depth)
{
	size_t n;
	const char *p;

	index = lua_absindex(l, index);
	if (lua_type(l, index) == LUA_TSTRING) {
		p = lua_tolstring(l, index, &n);
		if (out->len > LIMIT_PAYLOAD || n > LIMIT_PAYLOAD)
			return false;
		wr_str(out, (struct slice){ p, n });
		return true;
	}
	if (lua_type(l, index) != LUA_TTABLE || depth == 0 || !lua_checkstack(l, 2))
		return false;
	n = lua_rawlen(l, index);
	if (depth < LIMIT_NEST)
		wr_u64(out, n);
	for (size_t i = 1; i <= n; i++) {
		bool ok;
		lua_rawgeti(l, index, (lua_Integer)i);
		ok = put_value(l, -1, out, depth - 1);
		lua_pop(l, 1);
		if (!ok)
			return false;
	}
	return true;
}

static char **copy_list(lua_State *l, int index)
{
	size_t n = lua_rawlen(l, index);
	char **v = calloc(n + 1, sizeof(char *));

	for (size_t i = 0; v && i < n; i++) {
		lua_rawgeti(l, index, (lua_Integer)i + 1);
		v[i] = strdup(lua_type(l, -1) == LUA_TSTRING ? lua_tostring(l, -1) : "");
		lua_pop(l, 1);
		if (!v[i])
			return NULL;
	}
	return v;
}

/* Register the node. Returns NULL or what is wrong. */
static const char *add(struct made **m)
{
	const char *why = NULL;

	switch (made_add(&list, m, limits_used(), limits_memory(), &why)) {
	case MADE_OK:
		return NULL;
	case MADE_WRONG:
		return why;
	case MADE_MEMORY:
		limits_refuse();
		return "not enough memory";
	case MADE_BROKEN:
		break;
	}
	parent_end(EVAL_MSG_ERROR, SLICE("out of memory"));
}

/* Make the node described on the stack: kind, name, outputs or nil, payload. */
static const char *make(lua_State *l, struct made **ret)
{
	struct made *m = calloc(1, sizeof(*m));
	struct str payload = STR_INIT;
	const char *why = NULL;

	if (!m)
		return "out of memory";
	m->kind = (enum node_kind)lua_tointeger(l, 1);
	m->name = strdup(lua_tostring(l, 2));
	if (lua_istable(l, 3))
		m->outputs = copy_list(l, 3);
	if (!put_value(l, 4, &payload, LIMIT_NEST))
		why = "a description holds something that is neither string nor list, or is too "
		      "large";
	m->size = payload.len;
	m->payload = str_take(&payload);
	if (!why && (!m->name || !m->payload || (lua_istable(l, 3) && !m->outputs)))
		why = "out of memory";
	if (!why)
		why = add(&m);
	if (why)
		made_free(m);
	else
		*ret = m;
	return why;
}

struct ref {
	struct made *node;
	int output; /* index in node->outputs; -1: a source */
};

static void push_ref(lua_State *l, struct made *m, int output)
{
	struct ref *r = lua_newuserdatauv(l, sizeof(*r), 0);

	r->node = m;
	r->output = output;
	luaL_setmetatable(l, NODE_META);
}

/* raw.node(kind, name, outputs | nil, payload) */
static int raw_node(lua_State *l)
{
	struct made *m = NULL;
	const char *why;

	luaL_checkinteger(l, 1);
	if (lua_type(l, 2) != LUA_TSTRING || lua_type(l, 4) != LUA_TTABLE)
		return luaL_error(l, "raw.node: wrong arguments");
	why = make(l, &m);
	if (why) {
		lua_pushnil(l);
		lua_pushstring(l, why);
		return 2;
	}
	push_ref(l, m, m->outputs ? 0 : -1);
	return 1;
}

static void push_placeholder(lua_State *l, const struct ref *r)
{
	if (r->output < 0)
		lua_pushfstring(l, "\001%s\002", r->node->id);
	else
		lua_pushfstring(l, "\001%s:%s\002", r->node->id, r->node->outputs[r->output]);
}

static int node_tostring(lua_State *l)
{
	push_placeholder(l, luaL_checkudata(l, 1, NODE_META));
	return 1;
}

/* node.name, node.outputs, node.OUTPUT */
static int node_index(lua_State *l)
{
	const struct ref *r = luaL_checkudata(l, 1, NODE_META);
	const char *key = luaL_checkstring(l, 2);
	char **o = r->node->outputs;

	if (strcmp(key, "name") == 0) {
		lua_pushstring(l, r->node->name);
		return 1;
	}
	if (strcmp(key, "outputs") == 0) {
		lua_newtable(l);
		for (int i = 0; o && o[i]; i++) {
			lua_pushstring(l, o[i]);
			lua_rawseti(l, -2, i + 1);
		}
		return 1;
	}
	for (int i = 0; o && o[i]; i++)
		if (strcmp(o[i], key) == 0) {
			push_ref(l, r->node, i);
			return 1;
		}
	return luaL_error(l, "'%s' has no output '%s'", r->node->name, key);
}

static int node_concat(lua_State *l)
{
	luaL_tolstring(l, 1, NULL);
	luaL_tolstring(l, 2, NULL);
	lua_concat(l, 2);
	return 1;
}

static int node_eq(lua_State *l)
{
	const struct ref *a = luaL_testudata(l, 1, NODE_META), *b = luaL_testudata(l, 2, NODE_META);

	lua_pushboolean(l, a && b && a->node == b->node && a->output == b->output);
	return 1;
}

static int raw_is_node(lua_State *l)
{
	lua_pushboolean(l, luaL_testudata(l, 1, NODE_META) != NULL);
	return 1;
}

/* raw.flaw(s): what keeps a string from going into a node or a result, or nil. */
static int raw_flaw(lua_State *l)
{
	size_t n;
	const char *p = luaL_checklstring(l, 1, &n), *end = p + n, *why = NULL;

	if (memchr(p, 0, n))
		why = "holds a NUL byte";
	if (n > LIMIT_EVAL_STRING)
		why = "is larger than 16 MiB";
	while (!why && p < end && (p = memchr(p, 1, (size_t)(end - p)))) {
		struct slice output;
		if (!made_find(&list, p + 1, end, &p, &output)) {
			why = "holds a byte 1 that is not part of a node's placeholder (was a "
			      "string with a node in it cut up?)";
			break;
		}
	}
	lua_pushstring(l, why); /* nil when NULL */
	return 1;
}

static const luaL_Reg node_meta[] = {
	{ "__index", node_index },
	{ "__tostring", node_tostring },
	{ "__concat", node_concat },
	{ "__eq", node_eq },
	{ NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "flaw", raw_flaw },
	{ "is_node", raw_is_node },
	{ "node", raw_node },
	{ NULL, NULL },
};

void nodes_open(lua_State *l)
{
	luaL_newmetatable(l, NODE_META);
	luaL_setfuncs(l, node_meta, 0);
	lua_pushliteral(l, "node");
	lua_setfield(l, -2, "__metatable");
	lua_pop(l, 1);
	luaL_setfuncs(l, functions, 0);
}

void nodes_want(struct slice text)
{
	made_want(&list, text);
}

void nodes_write(struct str *out)
{
	made_write(&list, out);
}
