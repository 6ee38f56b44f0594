-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The first chunk of every evaluation. It gets the table of C functions (system/program), defines the
-- primitives that doc/lua.md describes, evaluates what was asked for, and returns the list of
-- results { key, text, kind }. Strings and lists of strings are all that C gets to see.

local raw = ...
local node = raw.node
local error, ipairs, rawget, setmetatable, tostring = error, ipairs, rawget, setmetatable, tostring

SYSTEM = "x86_64-linux"
STORE_DIR = raw.store_dir

local KIND = { drv = 0, source = 1, text = 2, fixed = 3, self = 4 }
local MODULES, CONFIG = 0, 1

-- ---- Fixed order --------------------------------------------------------------------------------

function next(t, ...)
	if select("#", ...) > 0 and (...) ~= nil then
		error("next: the order of a table is not fixed; use pairs", 2)
	end
	if type(t) ~= "table" then
		error("bad argument #1 to 'next' (table expected, got " .. type(t) .. ")", 2)
	end
	local keys = raw.keys(t)
	local k = keys[1]
	if k ~= nil then
		return k, rawget(t, k)
	end
end

function pairs(t)
	local own = raw.metafield(t, "__pairs")
	if own then
		return own(t)
	end
	if type(t) ~= "table" then
		error("bad argument #1 to 'pairs' (table expected, got " .. type(t) .. ")", 2)
	end
	local keys, i = raw.keys(t), 0
	return function()
		while true do
			i = i + 1
			local k = keys[i]
			if k == nil then
				return nil
			end
			local v = rawget(t, k)
			if v ~= nil then
				return k, v
			end
		end
	end, t, nil
end

local function less(a, b)
	return a < b
end

-- Bottom-up merge sort: stable, and the same comparisons on every machine.
function table.sort(t, before)
	before = before or less
	local n = #t
	local from, to = {}, {}
	for i = 1, n do
		from[i] = t[i]
	end
	local width = 1
	while width < n do
		for left = 1, n, 2 * width do
			local mid = math.min(left + width, n + 1)
			local stop = math.min(left + 2 * width, n + 1)
			local a, b = left, mid
			for k = left, stop - 1 do
				if a < mid and (b >= stop or not before(from[b], from[a])) then
					to[k] = from[a]
					a = a + 1
				else
					to[k] = from[b]
					b = b + 1
				end
			end
		end
		from, to = to, from
		width = 2 * width
	end
	for i = 1, n do
		t[i] = from[i]
	end
end

function print(...)
	local out = {}
	for i = 1, select("#", ...) do
		out[i] = tostring((select(i, ...)))
	end
	raw.log(table.concat(out, "\t"))
end

-- ---- Places -------------------------------------------------------------------------------------

function located(f)
	return raw.located(f, false)
end

-- Which file a chunk is: name of the chunk -> { root, directory below the root }.
local files = {}
-- Files read from the directory of the configuration: path -> contents.
local config_read = {}

local function directory(path)
	return path:match("^(.*)/[^/]*$") or ""
end

-- "a/b" below directory dir of a root; nil when that leaves the root.
local function join(dir, path)
	if path:sub(1, 1) == "/" then
		return nil
	end
	local out = {}
	for part in (dir .. "/" .. path):gmatch("[^/]+") do
		if part == ".." then
			if #out == 0 then
				return nil
			end
			out[#out] = nil
		elseif part ~= "." then
			out[#out + 1] = part
		end
	end
	return table.concat(out, "/")
end

-- Root and path of what a caller names; raises at loc.
local function beside(loc, chunk, path, what)
	if type(path) ~= "string" or path == "" or path:find("[\0\1\2]") then
		error(loc .. ": " .. what .. ": expected a path, got "
			.. (type(path) == "string" and "an empty or odd one" or type(path)), 0)
	end
	local file = files[chunk]
	if not file then
		error(loc .. ": " .. what .. ": cannot tell which file this is called from", 0)
	end
	local full = join(file.dir, path)
	if not full then
		error(loc .. ": " .. what .. ": '" .. path .. "' is outside of the "
			.. (file.root == MODULES and "modules directory" or "configuration's directory"), 0)
	end
	return file.root, full
end

local function read(root, path, loc)
	local contents, why = raw.read(root, path)
	if why then
		error((loc and loc .. ": " or "") .. why, 0)
	end
	if contents and root == CONFIG then
		config_read[path] = contents
	end
	return contents
end

read_file = raw.located(function(loc, chunk, path)
	local root, full = beside(loc, chunk, path, "read_file")
	local contents = read(root, full, loc)
	if not contents then
		error(loc .. ": read_file: there is no file '" .. path .. "'", 0)
	end
	return contents
end, true)

-- ---- Modules ------------------------------------------------------------------------------------

local loaded, loading = {}, {}

local function chunk_name(root, path)
	return root == MODULES and path or raw.display .. path
end

local function run_chunk(root, path, contents, loc, ...)
	local name = chunk_name(root, path)
	files[name] = { root = root, dir = directory(path) }
	local f, why = raw.load(contents, "@" .. name)
	if not f then
		error(why .. (loc and "\n  required at " .. loc or ""), 0)
	end
	local result = table.pack(pcall(f, ...))
	if not result[1] then
		local e = result[2]
		if type(e) == "string" and loc then
			e = e .. "\n  required at " .. loc
		end
		error(e, 0)
	end
	return result[2]
end

local function find_module(name, loc)
	local path = name:gsub("%.", "/")
	for root = MODULES, raw.kind == "name" and MODULES or CONFIG do
		for _, suffix in ipairs { ".lua", "/init.lua" } do
			local contents = read(root, path .. suffix, loc)
			if contents then
				return root, path .. suffix, contents
			end
		end
	end
end

-- What may have been meant by the name of a module that is not there, for messages.
local function near_module(name)
	local path = name:gsub("%.", "/")
	for root = MODULES, raw.kind == "name" and MODULES or CONFIG do
		local near = raw.near_module(root, path)
		if near then
			return "; did you mean '" .. (name:match("^.*%.") or "") .. near .. "'?"
		end
	end
	return name:find("^packages%.") and " [cairn package search finds packages]"
		or name:find("^services%.") and " [cairn system search finds services]" or ""
end

-- at: who asks, where a module asks for another.
require = located(function(loc, name, at)
	loc = at or loc
	if type(name) ~= "string" or not ("." .. name):find("^%.[%w_+-]")
		or name:find("[^%w_+%-.]") or name:find("..", 1, true) or name:sub(-1) == "." then
		error(loc .. ": require: '" .. tostring(name) .. "' is not a module name", 0)
	end
	if loaded[name] ~= nil then
		return loaded[name]
	end
	for i, busy in ipairs(loading) do
		if busy == name then
			error(loc .. ": modules require each other: "
				.. table.concat(loading, " -> ", i) .. " -> " .. name, 0)
		end
	end
	local root, path, contents = find_module(name, loc)
	if not root then
		error(loc .. ": there is no module '" .. name .. "'" .. near_module(name), 0)
	end
	loading[#loading + 1] = name
	local value = run_chunk(root, path, contents, loc, name)
	loading[#loading] = nil
	if value == nil then
		value = true
	end
	loaded[name] = value
	return value
end)

-- ---- Primitives ---------------------------------------------------------------------------------

is_node = raw.is_node
hash_string = raw.hash
public_keys = raw.public_keys

-- What PID 1 would say of a service set: the line and the message, or nothing. A node's place is taken by a path.
function service_set_error(set)
	local path = STORE_DIR .. "/" .. ("0"):rep(32) .. "-item"
	local why = raw.service_set_error((tostring(set):gsub("\1[^\2]*\2", path)))
	if why then
		local line, message = why:match("^set:(%d+): (.*)$")
		return math.tointeger(line) or 1, message or why
	end
end

function shell_quote(s)
	s = tostring(s)
	if s:find("^[%w_@%%+=:,./-]+$") then
		return s
	end
	return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function fail(loc, what, fmt, ...)
	error(loc .. ": " .. what .. ": " .. fmt:format(...), 0)
end

local function make(loc, what, ...)
	local n, why = node(...)
	if not n then
		fail(loc, what, "%s", why)
	end
	return n
end

local function number_text(v)
	if math.type(v) == "float" and v == math.floor(v) and v > -2 ^ 53 and v < 2 ^ 53 then
		v = math.tointeger(v)
	end
	return ("%s"):format(v)
end

-- The text of a scalar, or nil.
local function scalar_text(v)
	local t = type(v)
	if t == "string" then
		return v
	elseif t == "number" then
		return number_text(v)
	elseif is_node(v) or (t == "table" and raw.metafield(v, "__tostring")) then
		return tostring(v)
	end
end

local function checked_text(loc, what, field, v)
	local s = scalar_text(v)
	if not s then
		fail(loc, what, "%s: expected string, number, node or package, got %s", field, type(v))
	end
	local flaw = raw.flaw(s)
	if flaw then
		fail(loc, what, "%s: %s", field, flaw)
	end
	return s
end

local function env_text(loc, what, field, v)
	if v == true then
		return "1"
	elseif v == false then
		return ""
	elseif type(v) == "table" and not scalar_text(v) then
		local parts = {}
		for i, item in ipairs(v) do
			parts[i] = checked_text(loc, what, field .. "[" .. i .. "]", item)
		end
		for k in pairs(v) do
			if math.type(k) ~= "integer" or k < 1 or k > #parts then
				fail(loc, what, "%s: expected a list, but it has the key '%s'", field, tostring(k))
			end
		end
		return table.concat(parts, " ")
	end
	return checked_text(loc, what, field, v)
end

local function check_fields(loc, what, t, allowed)
	if type(t) ~= "table" then
		fail(loc, what, "expected a table, got %s", type(t))
	end
	for k in pairs(t) do
		if not allowed[k] then
			local near = raw.nearest(tostring(k), raw.keys(allowed))
			fail(loc, what, "unknown field '%s'%s", tostring(k),
				near and "; did you mean '" .. near .. "'?" or "")
		end
	end
end

local function check_name(loc, what, name)
	if type(name) ~= "string" then
		fail(loc, what, "name: expected string, got %s", type(name))
	end
	if #name == 0 or #name > 207 or name:sub(1, 1) == "." or name:find("[^%w+%-._?=]") then
		fail(loc, what, "name: '%s' cannot stand in a store path", name)
	end
	return name
end

local function check_list(loc, what, field, v)
	if v == nil then
		return {}
	end
	if type(v) ~= "table" or is_node(v) then
		fail(loc, what, "%s: expected a list, got %s", field, type(v))
	end
	return v
end

local function check_hash(loc, what, field, algo, v)
	if type(v) ~= "string" then
		fail(loc, what, "%s: expected string, got %s", field, type(v))
	elseif not raw.is_hash(algo, v) then
		fail(loc, what, "%s: '%s' is not a %s hash in hex or base32", field, v:sub(1, 150), algo)
	end
	return v
end

local DRV_FIELDS = {
	name = true, builder = true, args = true, env = true, outputs = true, inputs = true,
	system = true, outputHash = true, outputHashAlgo = true, outputHashMode = true,
}

local function text_list(loc, what, field, v)
	local out = {}
	for i, item in ipairs(check_list(loc, what, field, v)) do
		out[i] = checked_text(loc, what, field .. "[" .. i .. "]", item)
	end
	return out
end

local function check_outputs(loc, what, v)
	local outputs = text_list(loc, what, "outputs", v or { "out" })
	local seen = {}
	for _, o in ipairs(outputs) do
		if o:find("[^%w_-]") or o == "" or o == "name" or o == "outputs" or o == "drv" or seen[o] then
			fail(loc, what, "outputs: '%s' cannot be used as the name of an output", o)
		end
		seen[o] = true
	end
	if #outputs == 0 then
		fail(loc, what, "outputs: none")
	end
	return outputs, seen
end

local function env_list(loc, what, env, outputs)
	local out = {}
	for k, v in pairs(check_list(loc, what, "env", env)) do
		if type(k) ~= "string" or k == "" or k:find("[%z=]") then
			fail(loc, what, "env: '%s' cannot be the name of a variable", tostring(k))
		end
		if outputs[k] then
			fail(loc, what, "env.%s: is the name of an output", k)
		end
		out[#out + 1] = k
		out[#out + 1] = env_text(loc, what, "env." .. k, v)
	end
	return out
end

local function make_derivation(loc, t)
	check_fields(loc, "derivation", t, DRV_FIELDS)
	local what = "derivation '" .. check_name(loc, "derivation", t.name) .. "'"
	local outputs, output_set = check_outputs(loc, what, t.outputs)
	local mode = t.outputHashMode or "flat"
	if t.builder == nil then
		fail(loc, what, "builder: missing")
	end
	if mode ~= "flat" and mode ~= "recursive" then
		fail(loc, what, "outputHashMode: expected 'flat' or 'recursive', got '%s'", tostring(mode))
	end
	if t.outputHash and (#outputs ~= 1 or outputs[1] ~= "out") then
		fail(loc, what, "outputHash: only for the one output 'out'")
	end
	local algo = t.outputHash and checked_text(loc, what, "outputHashAlgo", t.outputHashAlgo or "sha256") or ""
	if t.outputHash then
		check_hash(loc, what, "outputHash", algo, t.outputHash)
	end
	local env = env_list(loc, what, t.env, output_set)
	return make(loc, what, KIND.drv, t.name, outputs, {
		t.name, checked_text(loc, what, "system", t.system or SYSTEM),
		checked_text(loc, what, "builder", t.builder),
		algo, t.outputHash or "", t.outputHash and mode or "", outputs, text_list(loc, what, "args", t.args), env,
		text_list(loc, what, "inputs", t.inputs),
	})
end
derivation = located(make_derivation)

local SOURCE_FIELDS = { name = true, only = true }

source = raw.located(function(loc, chunk, path, t)
	local root, full = beside(loc, chunk, path, "source")
	t = t or {}
	check_fields(loc, "source", t, SOURCE_FIELDS)
	local name = check_name(loc, "source", t.name or path:match("([^/]+)/*$"))
	local there, why = raw.exists(root, full)
	if not there then
		fail(loc, "source", "%s", why or "there is no '" .. path .. "'")
	end
	return make(loc, "source", KIND.source, name, nil,
		{ name, tostring(root), full, text_list(loc, "source", "only", t.only) })
end, true)

local TEXT_FIELDS = { executable = true, busybox = true }
local WRITE = 'printf %s "$contents" >"$out"'

local function make_text(loc, name, contents, t)
	if t == true then
		t = { executable = true }
	end
	t = t or {}
	check_fields(loc, "text", t, TEXT_FIELDS)
	local what = "text '" .. check_name(loc, "text", name) .. "'"
	contents = checked_text(loc, what, "contents", contents)
	if t.busybox then
		return make_derivation(loc, {
			name = name, builder = t.busybox,
			args = { "sh", "-c", WRITE .. (t.executable and ' && "$busybox" chmod 755 "$out"' or "") },
			env = { contents = contents, busybox = t.busybox, preferLocalBuild = true },
		})
	end
	if t.executable then
		fail(loc, what, "an executable text needs the option 'busybox'")
	end
	return make(loc, what, KIND.text, name, nil, { name, contents })
end
text = located(make_text)

local FIXED_FIELDS = {
	name = true, nar_sha256 = true, path = true, urls = true, sha256 = true, member = true,
	as = true, executable = true,
}

fixed_source = raw.located(function(loc, chunk, t)
	check_fields(loc, "fixed_source", t, FIXED_FIELDS)
	local what = "fixed_source '" .. check_name(loc, "fixed_source", t.name) .. "'"
	local root, full = MODULES, ""
	if t.path then
		root, full = beside(loc, chunk, t.path, what)
	end
	for _, field in ipairs { "nar_sha256", "sha256", "member", "as" } do
		if t[field] ~= nil and type(t[field]) ~= "string" then
			fail(loc, what, "%s: expected string, got %s", field, type(t[field]))
		end
	end
	if not t.nar_sha256 then
		fail(loc, what, "nar_sha256: missing")
	end
	check_hash(loc, what, "nar_sha256", "sha256", t.nar_sha256)
	if t.sha256 then
		check_hash(loc, what, "sha256", "sha256", t.sha256)
	end
	local urls = text_list(loc, what, "urls", t.urls)
	if #urls > 0 and not t.sha256 then
		fail(loc, what, "sha256: missing, but there are urls")
	end
	if t.as and not join("", t.as) then
		fail(loc, what, "as: '%s' leaves the item", t.as)
	end
	local executable = t.executable
	if executable == nil then
		executable = t.member ~= nil
	end
	return make(loc, what, KIND.fixed, t.name, nil, {
		t.name, t.nar_sha256, tostring(root), full, t.as and join("", t.as) or "",
		executable and "1" or "", urls, t.sha256 or "", t.member or "",
	})
end, true)

-- What compiles or is installed, and what is evaluated: patterns, so that stray files stay out.
local SELF = {
	"Makefile", "Kbuild", "cairn.c", "configs/*_defconfig", "configs/*.mk", "doc/*.8",
}
for _, dir in ipairs { "lib", "store", "init", "services", "bootloader", "system", "image" } do
	for _, file in ipairs { "Kbuild", "**.c", "**.h", "**.lds" } do
		SELF[#SELF + 1] = dir .. "/" .. file
	end
end
local LUA_TREE = {
	"packages/**.lua", "packages/**.patch", "packages/**.config", "packages/**.sh",
	"packages/**.c", "packages/**.h", "packages/**.fragment", "packages/**.txt", "packages/**.awk", "packages/**.sed",
	"packages/**.scm", "packages/**.pem", "packages/**.mk",
	"services/**.lua", "system/**.lua", "image/**.lua", "bootloader/**.lua", "examples/**.lua",
	"channel", -- where they were pulled from (system/channel.h)
}

cairn_source = located(function(loc)
	return make(loc, "cairn_source", KIND.self, "cairn-source", nil, { "cairn-source", SELF })
end)
self_source = cairn_source

local MODULES_SCRIPT = [[
"$busybox" cp -R "$lua" "$out" && "$busybox" chmod -R u+w "$out" &&
"$busybox" ln -s "../${source##*/}" "$out/source" && "$busybox" mkdir "$out/seed" &&
"$busybox" ln -s "../../${seed##*/}" "$out/seed/busybox"
]]

-- busybox: the seed's node; program: path of the busybox program in it.
cairn_modules = located(function(loc, busybox, program)
	program = program or busybox .. "/bin/busybox"
	local lua = make(loc, "cairn_modules", KIND.source, "cairn-lua", nil,
		{ "cairn-lua", tostring(MODULES), "", LUA_TREE })
	return make_derivation(loc, {
		name = "cairn-modules", builder = program, args = { "sh", "-c", MODULES_SCRIPT },
		env = { lua = lua, source = cairn_source(), seed = busybox, busybox = program,
			preferLocalBuild = true },
	})
end)

local main_file

config_files = located(function(loc)
	local out = {}
	for path, contents in pairs(config_read) do
		local name = path == main_file and "system.lua" or path
		if out[name] then
			fail(loc, "config_files", "both '%s' and '%s' would be system.lua", path, main_file)
		end
		out[name] = make_text(loc, (name:gsub("[^%w+%-._]", "-")), contents)
	end
	return out
end)

-- ---- Packages by name ---------------------------------------------------------------------------

local function package_named(name, loc)
	local index = require "packages.index"
	local v = index[name]
	if v == nil then
		local near = raw.nearest(name, raw.keys(index))
		error((loc and loc .. ": " or "") .. "there is no package '" .. name .. "'"
			.. (near and "; did you mean '" .. near .. "'?" or " [cairn package search finds packages]"), 0)
	end
	if type(v) == "string" then
		v = require(v)
	elseif type(v) == "function" then
		v = v()
	end
	return v
end

-- told: by who runs a command; no place of a file is to blame.
find_package = located(function(loc, name, told)
	if type(name) ~= "string" then
		error(loc .. ": find_package: expected a name, got " .. type(name), 0)
	end
	return package_named(name, not told and loc or nil)
end)

-- For the command that evaluates, beside the results (system/eval-host.c has the kinds).
local TEXT, TARGET, NOTE = 0, 1, 2
local notes, noted = {}, {}

function note(kind, text)
	local key = kind .. "\n" .. text
	if not noted[key] then
		noted[key] = true
		notes[#notes + 1] = { kind, text, NOTE }
	end
end

schema = require "system.lua.schema"
local schema = schema
schema.setup(raw)
schema.setup = nil

-- Modules that most configurations have as variables of the same name.
local USUAL = { services = 'local services = require "services"', system = 'local system = require "system"',
	packages = 'require "packages.NAME" is a package' }

-- What may have been meant by a variable that is not there.
local function meant(name, defined)
	if USUAL[name] then
		return " [" .. USUAL[name] .. "]"
	end
	local near = raw.nearest(name, raw.keys(USUAL)) or raw.nearest(name, raw.keys(defined))
	return near and "; did you mean '" .. near .. "'?" or ""
end

-- Nothing below can change what another file sees: the global table and the libraries move out of
-- reach, and what is left only reads.
local function freeze(t, name)
	local hidden = {}
	for _, k in ipairs(raw.keys(t)) do
		hidden[k] = t[k]
		t[k] = nil
	end
	setmetatable(hidden, {
		__index = function(_, k)
			if name == "" then
				error("variable '" .. tostring(k) .. "' is not defined" .. meant(tostring(k), hidden), 2)
			end
		end,
	})
	return setmetatable(t, {
		__index = hidden, __metatable = false,
		__pairs = function()
			return pairs(hidden)
		end,
		__newindex = function(_, k)
			error("'" .. name .. tostring(k) .. "' cannot be assigned; use a local variable", 2)
		end,
	})
end
for _, name in ipairs { "math", "schema", "string", "table", "utf8" } do
	freeze(_ENV[name], name .. ".")
end
freeze(_ENV, "")

-- ---- What was asked for -------------------------------------------------------------------------

local function is_target(v)
	return is_node(v) or (type(v) == "table" and is_node(v.drv))
end

local function result(key, v)
	if is_node(v) then
		return { key, tostring(v), TARGET }
	elseif type(v) == "table" and not schema.name(v) and is_node(v.drv) then
		return { key, tostring(v.drv), TARGET }
	elseif type(v) == "boolean" then
		return { key, v and "1" or "", TEXT }
	elseif type(v) == "string" or type(v) == "number" then
		local s = scalar_text(v)
		local flaw = raw.flaw(s)
		if flaw then
			error("the result" .. (key ~= "" and " '" .. key .. "'" or "") .. " " .. flaw, 0)
		end
		return { key, s, TEXT }
	end
	local what = schema.name(v) and "a record '" .. schema.name(v) .. "'" or "a " .. type(v)
	error("the result" .. (key ~= "" and " '" .. key .. "'" or "") .. " is " .. what
		.. ", not a package, derivation or source", 0)
end

local function results(v)
	if type(v) ~= "table" or schema.name(v) or is_target(v) then
		return { result("", v) }
	end
	local out = {}
	for k, item in pairs(v) do
		out[#out + 1] = result(number_text(k), item)
	end
	return out
end

local function by_name(text)
	local name, output = text:match("^([^:]*):(.*)$")
	name = name or text
	local v = package_named(name)
	if output then
		if not is_target(v) then
			error("'" .. name .. "' is not a package with outputs", 0)
		end
		v = (is_node(v) and v or v.drv)[output]
	end
	return v
end

local function by_file(path)
	main_file = path
	local contents = read(CONFIG, path)
	if not contents then
		error("there is no file '" .. raw.display .. path .. "'", 0)
	end
	return run_chunk(CONFIG, path, contents)
end

local function by_expression(text)
	files["(expression)"] = { root = CONFIG, dir = "" }
	local f = raw.load("return " .. text, "=(expression)")
	local why
	if not f then
		f, why = raw.load(text, "=(expression)")
		if not f then
			error(why, 0)
		end
	end
	return f()
end

local value
if raw.kind == "name" then
	value = by_name(raw.text)
elseif raw.kind == "file" then
	value = by_file(raw.text)
else
	value = by_expression(raw.text)
end
if raw.apply then
	local f = require(raw.apply)
	if type(f) ~= "function" and not raw.metafield(f, "__call") then
		error("module '" .. raw.apply .. "' is not a function", 0)
	end
	value = f(value, raw.args)
end
if value == nil then
	error((raw.kind == "file" and raw.display .. raw.text .. ": " or "") .. "the program returns nothing", 0)
end
local out = results(value)
return table.move(notes, 1, #notes, #out + 1, out)
