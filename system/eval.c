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
#include "system/program.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <unistd.h>

#include "init/init.h"
#include "lib/str.h"
#include "lib/text.h"
#include "lib/wire.h"
#include "system/box.h"
#include "system/graph.h"
#include "system/made.h"
#include "system/pool.h"

#define HOOK_STEP     1000
#define NODE_META     "cairn.node"
#define PRELUDE	      "system/lua/prelude.lua"
#define LIMIT_PAYLOAD ((size_t)32 << 20)
#define LIMIT_NEST    4

/* One evaluation per process. */
static struct {
	int fd;
	const struct program *program;
	struct pool pool;
	size_t used; /* bytes held by Lua and by nodes */
	uint64_t steps;
	struct made_list made;
	lua_State *lua;	     /* NULL until there is one */
	char memory_at[512]; /* "FILE:LINE" where memory was last refused */
	bool refused;
} box;

/* ---- The end ----------------------------------------------------------------------------------
 */

static void __attribute__((noreturn)) finish(enum eval_msg type, struct slice text)
{
	(void)box_send(box.fd, type, text); /* the parent may be gone: nothing left to tell */
	_exit(0);
}

static const char *memory_message(char buf[640])
{
	snprintf(buf, 640, "%s%smemory limit of %llu MiB exceeded", box.memory_at,
		 box.memory_at[0] ? ": " : "", (unsigned long long)(box.program->memory >> 20));
	return buf;
}

/* "FILE:LINE" of the innermost Lua function at or above level; false when there is none. */
static bool where(lua_State *l, int level, char *out, size_t n, const char **ret_source)
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
static void limit_place(lua_State *l, char *out, size_t n)
{
	const char *source = PRELUDE;

	for (int level = 0; strcmp(source, PRELUDE) == 0; level++)
		if (!where(l, level, out, n, &source)) {
			out[0] = '\0';
			return;
		}
}

/* Lua's error for this has no place, so remember it: asking for one allocates nothing. */
static void refuse_memory(void)
{
	box.refused = true;
	if (box.lua)
		limit_place(box.lua, box.memory_at, sizeof(box.memory_at));
}

static void *box_alloc(void *ud, void *p, size_t old, size_t n)
{
	void *q;

	if (!p)
		old = 0; /* Lua passes the kind of object */
	if (n > old && box.used + (n - old) > box.program->memory) {
		refuse_memory();
		return NULL;
	}
	q = pool_resize(&box.pool, p, old, n);
	if (q || n == 0)
		box.used += n - old;
	return q;
}

/* Beyond the limit there is no way back: an error could be caught by pcall(). */
static void count_hook(lua_State *l, lua_Debug *ar)
{
	char at[512], msg[640];

	box.steps += HOOK_STEP;
	if (box.steps <= box.program->instructions)
		return;
	limit_place(l, at, sizeof(at));
	snprintf(msg, sizeof(msg), "%s%sinstruction limit of %llu million exceeded", at,
		 at[0] ? ": " : "", (unsigned long long)(box.program->instructions / 1000000u));
	finish(EVAL_MSG_ERROR, slice_of(msg));
}

/* ---- Nodes ------------------------------------------------------------------------------------
 */

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

	switch (made_add(&box.made, m, &box.used, box.program->memory, &why)) {
	case MADE_OK:
		return NULL;
	case MADE_WRONG:
		return why;
	case MADE_MEMORY:
		refuse_memory();
		return "not enough memory";
	case MADE_BROKEN:
		break;
	}
	finish(EVAL_MSG_ERROR, SLICE("out of memory"));
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

/* ---- Asking the parent ------------------------------------------------------------------------
 */

/* Ask about a path below a root; the answer is in *reply. */
static uint64_t ask(enum eval_msg what, uint64_t root, const char *path, struct str *reply)
{
	struct str msg = STR_INIT;
	uint64_t type = 0;
	int r;

	wr_u64(&msg, root);
	wr_cstr(&msg, path);
	r = str_err(&msg);
	if (r == 0)
		r = box_send(box.fd, what, str_slice(&msg));
	str_done(&msg);
	if (r == 0)
		r = box_recv(box.fd, &type, reply, LIMIT_EVAL_FILE);
	if (r < 0)
		_exit(1); /* the parent is gone */
	return type;
}

/* Shared with Lua by raw.read and others; kept, since an error may jump over them. */
static int push_answer(lua_State *l, enum eval_msg what)
{
	static struct str reply = STR_INIT;
	uint64_t root = (uint64_t)luaL_checkinteger(l, 1);
	uint64_t type = ask(what, root, luaL_checkstring(l, 2), &reply);

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

	if (box_send(box.fd, EVAL_MSG_LOG, (struct slice){ p, n }) < 0)
		_exit(1);
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
		if (!made_find(&box.made, p + 1, end, &p, &output)) {
			why = "holds a byte 1 that is not part of a node's placeholder (was a "
			      "string with a node in it cut up?)";
			break;
		}
	}
	lua_pushstring(l, why); /* nil when NULL */
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

	if (!where(l, 1, at, sizeof(at), &source))
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

/* ---- Fixed order ------------------------------------------------------------------------------
 */

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

/* ---- Base library without addresses -----------------------------------------------------------
 */

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

/* ---- The environment --------------------------------------------------------------------------
 */

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

static const luaL_Reg raw_functions[] = {
	{ "exists", raw_exists },
	{ "flaw", raw_flaw },
	{ "is_duration", raw_is_duration },
	{ "is_hash", raw_is_hash },
	{ "hash", raw_hash },
	{ "is_node", raw_is_node },
	{ "keys", raw_keys },
	{ "load", raw_load },
	{ "located", raw_located },
	{ "log", raw_log },
	{ "metafield", raw_metafield },
	{ "near_module", raw_near_module },
	{ "nearest", raw_nearest },
	{ "node", raw_node },
	{ "public_keys", raw_public_keys },
	{ "read", raw_read },
	{ "service_set_error", raw_service_set_error },
	{ NULL, NULL },
};

static const luaL_Reg node_meta[] = {
	{ "__index", node_index },
	{ "__tostring", node_tostring },
	{ "__concat", node_concat },
	{ "__eq", node_eq },
	{ NULL, NULL },
};

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

/* The table every chunk has as _ENV; left on the stack. luaopen_base needs a global table of its
 * own, which is thrown away. */
static void push_environment(lua_State *l)
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

static void push_raw(lua_State *l, const struct program *p)
{
	luaL_newlib(l, raw_functions);
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

/* ---- The result -------------------------------------------------------------------------------
 */

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
		made_want(&box.made, v[1]);
		lua_pop(l, 2);
	}
	return n;
}

static void __attribute__((noreturn)) finish_result(lua_State *l, int index)
{
	struct str results = STR_INIT, out = STR_INIT;
	size_t n = put_results(l, index, &results);

	made_write(&box.made, &out);
	wr_u64(&out, n);
	str_adds(&out, str_slice(&results));
	if (str_err(&out) || str_err(&results))
		finish(EVAL_MSG_ERROR, SLICE("out of memory"));
	finish(EVAL_MSG_RESULT, str_slice(&out));
}

static int run(lua_State *l)
{
	const struct program *p = box.program;

	luaL_newmetatable(l, NODE_META);
	luaL_setfuncs(l, node_meta, 0);
	lua_pushliteral(l, "node");
	lua_setfield(l, -2, "__metatable");
	lua_pop(l, 1);
	push_environment(l);
	lua_rawseti(l, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); /* what chunks get as _ENV */
	lua_settop(l, 0);

	lua_pushcfunction(l, raw_read);
	lua_pushinteger(l, 0);
	lua_pushliteral(l, PRELUDE);
	lua_call(l, 2, 1);
	if (!lua_isstring(l, 1))
		return luaL_error(l, "the modules directory has no " PRELUDE);
	if (luaL_loadbufferx(l, lua_tostring(l, 1), lua_rawlen(l, 1), "@" PRELUDE, "t") != LUA_OK)
		return lua_error(l);
	push_raw(l, p);
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
	if (status == LUA_ERRMEM || (box.refused && p && strstr(p, "not enough memory")))
		finish(EVAL_MSG_ERROR, slice_of(memory_message(buf)));
	if (!p)
		finish(EVAL_MSG_ERROR, SLICE("the program raised an error that is not a string"));
	finish(EVAL_MSG_ERROR, (struct slice){ p, n });
}

int program_main(int fd, void *arg)
{
	lua_State *l;
	int r;

	box.fd = fd;
	box.program = arg;
	l = lua_newstate(box_alloc, NULL);
	if (!l)
		finish(EVAL_MSG_ERROR, SLICE("out of memory"));
	box.lua = l;
	/* What an evaluation makes it mostly keeps: collect when the memory has grown tenfold. */
	lua_gc(l, LUA_GCINC, 1000, 0, 0);
	lua_sethook(l, count_hook, LUA_MASKCOUNT, HOOK_STEP);
	lua_pushcfunction(l, run);
	r = lua_pcall(l, 0, 0, 0);
	finish_error(l, r);
}
