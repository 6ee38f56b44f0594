/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>

#include "lib/wire.h"
#include "system/eval.h"
#include "system/graph.h"
#include "system/sources.h"
#include "tests/unit/test.h"

static struct sys_eval_opts opts;

/* Evaluate an expression; NULL with the error in e when it fails. */
static struct sys_eval *eval(const char *text, struct err *e)
{
	struct sys_eval_request req = { .kind = SYS_EVAL_EXPR, .text = text };
	struct sys_eval *ev = NULL;

	if (!opts.modules)
		opts.modules = getenv("SRC"); /* of the runner; else the directory built from */
	return sys_eval_run(&opts, &req, &ev, e) < 0 ? NULL : ev;
}

static void check_value(const char *text, const char *want)
{
	struct err e = ERR_INIT;
	struct sys_eval *ev = eval(text, &e);

	if (!ev)
		TEST_FAIL("%s: %s", text, e.msg);
	else
		CHECK_STR(sys_eval_value(ev, ""), want);
	sys_eval_free(ev);
}

static void check_error(const char *text, int code, const char *want)
{
	struct err e = ERR_INIT;
	struct sys_eval *ev = eval(text, &e);

	if (ev)
		TEST_FAIL("%s: gave %s", text, sys_eval_value(ev, ""));
	CHECK_INT(e.code, code);
	if (!strstr(e.msg, want))
		TEST_FAIL("%s: \"%s\" does not say \"%s\"", text, e.msg, want);
	if (strstr(e.msg, "signal"))
		TEST_FAIL("%.60s: it crashed: %s", text, e.msg);
	sys_eval_free(ev);
}

static void check_drv(const char *store, const char *text, const char *path, const char *drv)
{
	struct err e = ERR_INIT;
	struct sys_eval *ev;
	const struct sys_eval_result *r;
	char want[300];

	opts.store_dir = store;
	ev = eval(text, &e);
	opts.store_dir = NULL;
	if (!ev) {
		TEST_FAIL("%s", e.msg);
		return;
	}
	r = sys_eval_find(ev, "");
	snprintf(want, sizeof(want), "%s/%s", store, path);
	CHECK_STR(r->value, want);
	snprintf(want, sizeof(want), "%s/%s", store, drv);
	CHECK_STR(r->drv, want);
	sys_eval_free(ev);
}

/* The derivations of the format's vectors, as Debian's nix-instantiate makes them. */
#define VECTORS                                                                                    \
	"local function drv(t)"                                                                    \
	" t.builder = '/bin/sh' t.env = t.env or {}"                                               \
	" t.env.name, t.env.builder, t.env.system = t.name, '/bin/sh', SYSTEM"                     \
	" return derivation(t) end "                                                               \
	"local function fixed(name, args, hash, algo, mode)"                                       \
	" return drv { name = name, args = args, outputHash = hash, outputHashAlgo = algo,"        \
	" outputHashMode = mode, env = { outputHash = hash, outputHashAlgo = algo,"                \
	" outputHashMode = mode } } end "                                                          \
	"local fod = fixed('fod', { '-c', 'echo hello > $out' },"                                  \
	" '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03', 'sha256', 'flat') "  \
	"local fodr = fixed('fodr', { '-c', 'mkdir $out' },"                                       \
	" '76fe8932c216a686b067262f3941856a167bfd4ecadb2235c3b2a1bffefe00fa', 'sha256', "          \
	"'recursive') "                                                                            \
	"local fodm = fixed('fodm', {}, 'da39a3ee5e6b4b0d3255bfef95601890afd80709', 'sha1',"       \
	" 'recursive') "                                                                           \
	"local simple = drv { name = 'simple', args = { '-c', 'echo > $out' },"                    \
	" env = { x = 'a\"b\\\\c\\nd\\te\\rf$\xc3\xa9' } } "                                       \
	"local ref = text('ref.txt', 'refers to ' .. text('src.txt', 'source\\n') .. '\\n') "      \
	"local multi = drv { name = 'multi-1.0', args = { '-c', 'true' },"                         \
	" outputs = { 'out', 'lib', 'doc' }, env = { outputs = 'out lib doc', fod = fod,"          \
	" fodr = fodr, simple = simple, src2 = ref } } "                                           \
	"local user = drv { name = 'user', args = { '-c', 'true' },"                               \
	" env = { z = simple, doc = multi.doc, lib = multi.lib } } "

TEST(fixed)
{
	check_drv("/nix/store", VECTORS "return fod", "rcz8aqa9lzcygdcn1q53xz03vc3svrcp-fod",
		  "3mk786rjnkjac12azzzj3fdjg40gm7nb-fod.drv");
	check_drv("/gnu/store", VECTORS "return fod", "gqwqh59plvz5abnmighnp13z1ckv8p07-fod",
		  "kacwkc0qh4ak5lybk0m9b48hamfil30z-fod.drv");
	check_drv("/gnu/store", VECTORS "return fodm", "88y4bx0migxlslijzsbxad10fzz9gmfk-fodm",
		  "ndbb3ngyx0xgbap097pjjh55ryryi8wb-fodm.drv");
}

TEST(recursive)
{
	check_drv("/gnu/store", VECTORS "return fodr", "7j0x9gd62c1a11l43sh1fl9cnjl16z8d-fodr",
		  "wqhjndwp0m9zn5v8jq35ni6zsnxm4ria-fodr.drv");
}

TEST(simple)
{
	check_drv("/nix/store", VECTORS "return simple", "82hc5zi6kdj3a3dyw25f2ihvx5w2qa7f-simple",
		  "gwphhjfiwxsx88zh4vn76a9vgzw7k3r1-simple.drv");
	check_drv("/gnu/store", VECTORS "return simple", "88v1m9mji25s6ndp9frdglc4mx3068qb-simple",
		  "l4ka87dgyqjw9nf1zvj3sk8hcimsz42c-simple.drv");
}

/* Several outputs, inputs of every kind, outputs chosen. */
TEST(multi)
{
	check_drv("/gnu/store", VECTORS "return multi",
		  "86lphrdnygmd5j7lbkcjiffvx47lrwxz-multi-1.0",
		  "bbwdd43akfnpbycs2z9iv21ay8p5g9gp-multi-1.0.drv");
	check_drv("/gnu/store", VECTORS "return multi.doc",
		  "divj0wd7v1fj9d7804i0y981qpzp2yrg-multi-1.0-doc",
		  "bbwdd43akfnpbycs2z9iv21ay8p5g9gp-multi-1.0.drv");
	check_drv("/gnu/store", VECTORS "return user", "lcizj0yb9csf7ins9jq7smwa117m78gw-user",
		  "s0dg88qyx59b31c8x3wq61xvq1h19cgj-user.drv");
}

TEST(texts)
{
	check_value("text('src.txt', 'source\\n')",
		    "/gnu/store/7rpc9iicq65crfspfsnpakkl38gd8dx7-src.txt");
	check_value("text('ref.txt', 'refers to ' .. text('src.txt', 'source\\n') .. '\\n')",
		    "/gnu/store/m0h8619g5fplmmhknap1jfphyzwf5r2r-ref.txt");
	check_error("text('x', '' .. derivation { name = 'd', builder = '/b' })", -ERR_EVAL,
		    "cannot mention a derivation");
	check_error("text('x', ('' .. text('y', '')):sub(1, 9))", -ERR_EVAL, "cut up");
}

TEST(language)
{
	check_value("('x'):rep(3) .. #{ 1, 2 }", "xxx2");
	check_value("tostring({}) .. tostring(print) .. string.format('%s', {})",
		    "tablefunctiontable");
	check_value("(function() local s = '' for k in pairs { b = 1, a = 2, [2] = 3, [1] = 4, "
		    "[true] = 5 } do s = s .. tostring(k) .. ' ' end return s end)()",
		    "1 2 a b true ");
	check_value("(function() local t = {} for i = 1, 300 do t[i] = { i % 3, i } end "
		    "table.sort(t, function(a, b) return a[1] < b[1] end) "
		    "return t[1][2] .. ' ' .. t[100][2] .. ' ' .. t[101][2] .. ' ' .. t[300][2] "
		    "end)()",
		    "3 300 1 299");
	check_value(
		"(function() local ok, e = pcall(error, 'x', 0) return tostring(ok) .. e end)()",
		"falsex");
}

TEST(closed)
{
	static const char *const names[] = { "io",	"os",	     "debug",
					     "load",	"dofile",    "loadfile",
					     "package", "coroutine", "collectgarbage" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_error(names[i], -ERR_EVAL, "is not defined");
	check_value("tostring(string.dump) .. tostring(math.random)", "nilnil");
	check_error("setmetatable({}, { __gc = print })", -ERR_EVAL, "__gc");
	check_error("getmetatable('').__index.rep('x')", -ERR_EVAL, "nil value");
	check_error("string.format('%p', {})", -ERR_EVAL, "address");
	check_error("(function() string.rep = nil end)()", -ERR_EVAL, "cannot be assigned");
	check_error("(function() rep = 1 end)()", -ERR_EVAL, "cannot be assigned");
	check_error("\x1bLua", -ERR_EVAL, "binary chunk");
	check_error("require '../secret'", -ERR_EVAL, "not a module name");
	check_error("source '/etc/passwd'", -ERR_EVAL, "outside");
	check_error("read_file 'a/../../b'", -ERR_EVAL, "outside");
}

/* Nothing that is tried can be caught, waited for, or held on to. */
TEST(cfg_01_programs_that_do_not_end)
{
	opts.instructions = 2000000;
	check_error("(function() while true do pcall(error) end end)()", -ERR_EVAL,
		    "(expression):1: instruction limit of 2 million exceeded");
	check_error("(function() local function f() while true do end end while true do pcall(f) "
		    "end end)()",
		    -ERR_EVAL, "instruction limit");
	opts.instructions = 0;
	opts.seconds = 1;
	check_error("('a'):rep(100000):find(('.-'):rep(20) .. 'b')", -ERR_LIMIT, "limit of");
	check_error("(function() local s = ('x'):rep(1 << 20) while true do s:upper() end end)()",
		    -ERR_LIMIT, "limit of");
	check_error("(function() local t = {} for i = 1, 2000000 do t[i] = i end while true do "
		    "table.sort(t, function(a, b) return true end) end end)()",
		    -ERR_LIMIT, "limit of");
	opts.seconds = 0;
}

TEST(cfg_02_programs_that_take_all_memory)
{
	opts.memory = 16 << 20;
	check_error("(function() local s = 'x' while true do s = s .. s end end)()", -ERR_EVAL,
		    "(expression):1: memory limit of 16 MiB exceeded");
	check_error("(function() local t = {} for i = 1, 1e7 do t[i] = text('x' .. i, 'y') end "
		    "return t end)()",
		    -ERR_EVAL, "(expression):1: memory limit");
	check_error("(function() local t = {} while true do t = { t, {}, t } end end)()", -ERR_EVAL,
		    "memory limit");
	check_error("(function() local t = {} while true do local last = t[#t] "
		    "t[#t + 1] = function() return last end end end)()",
		    -ERR_EVAL, "memory limit");
	check_error("('x'):rep(10000000000)", -ERR_EVAL, "too large");
	check_error("('x'):rep(1 << 30)", -ERR_EVAL, "memory limit");
	check_error("(function() local s = ('x'):rep(1 << 20) local t = {} for i = 1, 1000 do "
		    "t[i] = s end return table.concat(t) end)()",
		    -ERR_EVAL, "memory limit");
	check_error("error('not enough memory for it', 0)", -ERR_EVAL, "not enough memory for it");
	opts.memory = 0;
}

/* The bytes of a compiled chunk: Lua itself checks none of them. */
TEST(cfg_04_programs_that_are_no_text)
{
	check_error("\x1bLuaT\x19\x93\r\n\x1a\n", -ERR_EVAL, "");
	check_error("string.dump(function() end)", -ERR_EVAL, "dump");
	check_error("load('\\27Lua')", -ERR_EVAL, "load");
	check_error("(function() return require('\\27Lua') end)()", -ERR_EVAL, "");
}

static void check_nested(const char *open, const char *middle, const char *close, unsigned n)
{
	auto_str struct str s = STR_INIT;

	str_add(&s, "return ");
	for (unsigned i = 0; i < n; i++)
		str_add(&s, open);
	str_add(&s, middle);
	for (unsigned i = 0; i < n; i++)
		str_add(&s, close);
	check_error(s.buf, -ERR_EVAL, "");
}

TEST(cfg_05_programs_that_go_deeper_than_the_stack)
{
	check_nested("(", "1", ")", 100000);
	check_nested("{", "", "}", 100000);
	check_nested("function() return ", "1", " end", 100000);
	check_nested("- ", "x", "", 100000);
	check_nested("a.", "a", "()", 50000);
	check_error("(function() local function f() return 1 + f() end return f() end)()",
		    -ERR_EVAL, "stack overflow");
	check_error("(function() local t = setmetatable({}, {}) "
		    "getmetatable(t).__index = function(t, k) return t[k .. 'x'] end return t.x "
		    "end)()",
		    -ERR_EVAL, "overflow");
	check_error("error(setmetatable({}, { __tostring = function() error('again') end }))",
		    -ERR_EVAL, "");
	check_error("(function() local t = {} for i = 1, 100000 do t = { t } end return t end)()",
		    -ERR_EVAL, "");
	check_error("(function() local s = '' for i = 1, 300 do s = s .. '(' end "
		    "return ('x'):find(s) end)()",
		    -ERR_EVAL, "");
}

TEST(records)
{
#define RECORD                                                                                     \
	"local user = schema.record('user', { name = schema.string {},"                            \
	" uid = schema.integer { optional = true, max = 9 },"                                      \
	" home = schema.path { default = function(r) return '/home/' .. r.name end } })"           \
	" local os = schema.record('os', { users = schema.list(user, { default = {} }) }) "
	check_value(RECORD "return user { name = 'ann' }.home", "/home/ann");
	check_value(RECORD "return user { name = 'ann' }:with { name = 'bob' }.home", "/home/bob");
	check_value(RECORD "return os { users = { { name = 'a' } } }.users[1].home", "/home/a");
	check_error(RECORD "return user { nmae = 'ann' }.home", -ERR_EVAL,
		    "(expression):1: user: unknown field 'nmae'; did you mean 'name'?");
	check_error(RECORD "return os {\nusers = { { name = 'a', uid = '1' } } }.users", -ERR_EVAL,
		    "(expression):1: os › users[1] ('a') › uid: expected integer, got string");
	check_error(RECORD
		    "local u = user { name = 'a', uid = 10 }\n return os { users = { u } }.users",
		    -ERR_EVAL, "(expression):1: os › users[1] ('a') › uid: 10 is more than 9");
	check_error(RECORD "return os { users = { { name = 'a' }, { nmae = 'b' } } }.users",
		    -ERR_EVAL,
		    "(expression):1: os › users[2]: unknown field 'nmae'; did you mean 'name'?");
	check_error(RECORD "local o = os { users = { { name = 'a' } } }\n schema.fail(o.users[1], "
			   "'no', 'uid')",
		    -ERR_EVAL, "(expression):1: os › users[1] ('a') › uid: no");
	check_error(RECORD "return os { users = { { name = 'a\\1', uid = 10 } } }.users", -ERR_EVAL,
		    "(expression):1: os › users[1] › uid: 10 is more than 9");
	check_error("local s = schema.record('s', { port = schema.integer { max = 9 } })"
		    " return schema.check(schema.record('t', { l = schema.list(s) }) "
		    "{ l = { { port = 80 } } })",
		    -ERR_EVAL, "t › l[1] ('80') › port: 80 is more than 9");
	check_error(RECORD "return schema.check(user {}).name", -ERR_EVAL,
		    "user › name: missing; expected string");
	check_error(RECORD "user { name = 'a' }.name = 1", -ERR_EVAL, "cannot be assigned");
}

TEST(patterns)
{
	static const struct {
		const char *pattern, *path;
		bool match;
	} rows[] = {
		{ "lib/*.c", "lib/a.c", true },	   { "lib/*.c", "lib/x/a.c", false },
		{ "a/**.lua", "a/b/c.lua", true }, { "a/**.lua", "a/c.lua", true },
		{ "a/**.lua", "b/c.lua", false },  { "?", "/", false },
		{ "**", "any/thing", true },	   { "*", "", true },
		{ "Kbuild", "Kbuild2", false },	   { "*.c", "a.cc", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_INT(pattern_match(slice_of(rows[i].pattern), slice_of(rows[i].path)),
			  rows[i].match);
}

/* ---- The graph comes from a stranger ----------------------------------------------------------
 */

#define ID_A "0123456789abcdef0123456789abcdef"
#define ID_B "fedcba9876543210fedcba9876543210"

static void wr_text_node(struct str *out, const char *id, const char *contents)
{
	struct str payload = STR_INIT;

	wr_cstr(&payload, "name");
	wr_cstr(&payload, contents);
	wr_cstr(out, id);
	wr_u64(out, NODE_TEXT);
	wr_str(out, str_slice(&payload));
	str_done(&payload);
}

static int no_hash(void *arg, const struct node *n, struct digest *ret, struct err *e)
{
	return err_set(e, -ERR_INTERNAL, "there is no source in this test");
}

static int load(struct slice msg, struct err *e)
{
	struct graph g = { 0 };
	int r = graph_load(&g, "/gnu/store", msg, no_hash, NULL, e);

	graph_done(&g);
	return r;
}

TEST(graph)
{
	struct str msg = STR_INIT;
	struct err e = ERR_INIT;

	wr_u64(&msg, 2);
	wr_text_node(&msg, ID_A, "x");
	wr_text_node(&msg, ID_B, "\1" ID_A "\2");
	wr_u64(&msg, 1);
	wr_cstr(&msg, "key");
	wr_bool(&msg, true);
	wr_cstr(&msg, "\1" ID_B "\2");
	CHECK_INT(load(str_slice(&msg), &e), 0);
	for (size_t i = 0; i < msg.len; i++) {
		struct err cut = ERR_INIT;
		CHECK(load((struct slice){ msg.buf, i }, &cut) < 0);
		CHECK(cut.code < 0);
	}
	str_addc(&msg, 0);
	CHECK_INT(load(str_slice(&msg), &e), -ERR_PROTO);
	str_done(&msg);
}

TEST(cycles)
{
	struct str self = STR_INIT, late = STR_INIT, twice = STR_INIT;
	struct err e = ERR_INIT;

	wr_u64(&self, 1);
	wr_text_node(&self, ID_A, "\1" ID_A "\2");
	wr_u64(&self, 0);
	CHECK_INT(load(str_slice(&self), &e), -ERR_PROTO);
	wr_u64(&late, 2);
	wr_text_node(&late, ID_B, "\1" ID_A "\2");
	wr_text_node(&late, ID_A, "x");
	wr_u64(&late, 0);
	CHECK_INT(load(str_slice(&late), &e), -ERR_PROTO);
	wr_u64(&twice, 2);
	wr_text_node(&twice, ID_A, "x");
	wr_text_node(&twice, ID_A, "x");
	wr_u64(&twice, 0);
	CHECK_INT(load(str_slice(&twice), &e), -ERR_PROTO);
	str_done(&self);
	str_done(&late);
	str_done(&twice);
}

TEST_MAIN(fixed, recursive, simple, multi, texts, language, closed, cfg_01_programs_that_do_not_end,
	  cfg_02_programs_that_take_all_memory, cfg_04_programs_that_are_no_text,
	  cfg_05_programs_that_go_deeper_than_the_stack, records, patterns, graph, cycles)
