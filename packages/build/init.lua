-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What recipes use: package { … } and origin { … }.  doc/packages.md describes
-- the fields; each build system is a file beside this one.

local seed = require "packages.seed"
local origin = require "packages.build.origin"

local systems = { "cmake", "gnu", "kbuild", "meson", "trivial" }
local phases = { "unpack", "patch", "configure", "build", "check", "install", "finish" }

local function text_like(v)
	local t = type(v)
	return t == "string" or t == "number" or is_node(v) or (t == "table" and v.drv ~= nil)
end

local function target(v)
	return is_node(v) or (type(v) == "table" and v.drv ~= nil)
end

local function list_of(what, test)
	return function(v)
		if type(v) ~= "table" or is_node(v) or v.drv ~= nil then
			return "expected a list of " .. what
		end
		for key, element in pairs(v) do
			if math.type(key) ~= "integer" or key < 1 then
				return "expected a list of " .. what .. ", found the key '" .. tostring(key) .. "'"
			elseif not test(element) then
				return "[" .. key .. "]: expected " .. what .. ", got " .. type(element)
			end
		end
		for key in pairs(v) do
			if key > 1 and v[key - 1] == nil then
				return "[" .. (key - 1) .. "]: expected " .. what .. ", got nil"
			end
		end
	end
end

local function one(what, test)
	return function(v)
		if not test(v) then
			return "expected " .. what .. ", got " .. type(v)
		end
	end
end

local function is(name)
	return function(v) return type(v) == name end
end

local function one_of(names)
	return function(v)
		for _, name in ipairs(names) do
			if v == name then
				return
			end
		end
		return "expected one of " .. table.concat(names, ", ") .. ", got " .. tostring(v)
	end
end

local fields = {
	name = function(v)
		if type(v) ~= "string" or not v:match("^[%w][%w+_.-]*$") then
			return "expected a name of letters, digits and + - . _"
		end
	end,
	version = function(v)
		if type(v) ~= "string" or not v:match("^[%w+_.-]+$") then
			return "expected a string of letters, digits and + - . _, got " .. type(v)
		end
	end,
	source = one("a source or package", target),
	patches = list_of("a source", is_node),
	build_system = one_of(systems),
	seed = list_of("the name of a seed item", is "string"),
	inputs = list_of("a package", target),
	native_inputs = list_of("a package", target),
	configure_flags = list_of("a string", text_like),
	make_flags = list_of("a string", text_like),
	install_flags = list_of("a string", text_like),
	phases = function(v)
		if type(v) ~= "table" then
			return "expected a table of shell text, got " .. type(v)
		end
		for phase, code in pairs(v) do
			local wrong = one_of(phases)(phase)
			if wrong then
				return "unknown phase '" .. tostring(phase) .. "' [" .. table.concat(phases, ", ") .. "]"
			elseif type(code) ~= "string" then
				return phase .. ": expected shell text, got " .. type(code)
			end
		end
	end,
	libc = one_of { "musl", "none" },
	prune = one("true or false", is "boolean"),
	strip = one("true or false", is "boolean"),
	static = one("true or false", is "boolean"),
	synopsis = one("a string", is "string"),
	description = one("a string", is "string"),
	license = one("a string", is "string"),
	home_page = one("a string", is "string"),
}

-- Smallest number of edits between two names, for suggestions.
local function distance(a, b)
	local row = {}
	for j = 0, #b do
		row[j] = j
	end
	for i = 1, #a do
		local diagonal = row[0]
		row[0] = i
		for j = 1, #b do
			local above = row[j]
			local cost = a:byte(i) == b:byte(j) and 0 or 1
			row[j] = math.min(above + 1, row[j - 1] + 1, diagonal + cost)
			diagonal = above
		end
	end
	return row[#b]
end

local function suggestion(field)
	local best, best_distance
	for name in pairs(fields) do
		local d = distance(field, name)
		if not best or d < best_distance or (d == best_distance and name < best) then
			best, best_distance = name, d
		end
	end
	return best_distance <= 3 and "; did you mean '" .. best .. "'?" or ""
end

local function check(where, t)
	if type(t) ~= "table" then
		error(where .. ": package: expected a table, got " .. type(t), 0)
	end
	local who = where .. ": package " .. (type(t.name) == "string" and "'" .. t.name .. "'" or "without a name")
	for field, value in pairs(t) do
		if type(field) ~= "string" or not fields[field] then
			error(who .. ": unknown field '" .. tostring(field) .. "'" .. suggestion(tostring(field)), 0)
		end
		local wrong = fields[field](value)
		if wrong then
			error(who .. " › " .. field .. (wrong:sub(1, 1) == "[" and "" or ": ") .. wrong, 0)
		end
	end
	for _, field in ipairs { "name", "version" } do
		if t[field] == nil then
			error(who .. " › " .. field .. ": missing", 0)
		end
	end
	if #t.name + #t.version > 200 then
		error(who .. " › version: name and version have more than 200 bytes", 0)
	end
end

local enter = source "enter.sh"
local library = source "phases.sh"

local function words(list)
	local out = {}
	for i, word in ipairs(list or {}) do
		out[i] = shell_quote(tostring(word))
	end
	return table.concat(out, " ")
end

-- The one shell script of a package: each phase its own code, or the build
-- system's.
local function script(t, where)
	local system = require("packages.build." .. (t.build_system or "gnu"))
	local defaults = system {
		configure_flags = words(t.configure_flags),
		make_flags = words(t.make_flags),
		install_flags = words(t.install_flags),
	}
	local lines = { ". " .. tostring(library), "set_up_tools" }
	for _, phase in ipairs(phases) do
		local code = t.phases and t.phases[phase] or defaults[phase]
		if phase == "finish" then
			-- A recipe's own code runs before the clean-up, never instead of it.
			lines[#lines + 1] = (code or "") .. "\nfinish"
		elseif code then
			lines[#lines + 1] = "begin " .. phase .. "\n" .. code
		end
	end
	return table.concat(lines, "\n")
end

local make

local methods = {}

-- A changed copy: zlib:with { version = "…", source = … }.
methods.with = located(function(where, self, changes)
	local who = where .. ": package '" .. self.name .. "'"
	if type(changes) ~= "table" then
		error(who .. " › with: expected a table, got " .. type(changes), 0)
	end
	local t = {}
	for field, value in pairs(self.recipe) do
		t[field] = value
	end
	for field, value in pairs(changes) do
		t[field] = value
	end
	return make(where, t)
end)

local meta = {
	__name = "package",
	__index = methods,
	__tostring = function(p) return tostring(p.drv) end,
	__concat = function(a, b) return tostring(a) .. tostring(b) end,
}

make = function(where, t)
	check(where, t)
	local seeds = { seed.item "core" }
	for i, name in ipairs(t.seed or {}) do
		local ok, item = pcall(seed.item, name)
		if not ok then
			error(where .. ": package '" .. t.name .. "' › seed[" .. i .. "]: " .. item, 0)
		end
		seeds[#seeds + 1] = item
	end

	local forbidden = { seed.busybox }
	for _, item in ipairs(seeds) do
		forbidden[#forbidden + 1] = item
	end
	local checks = {}
	for _, name in ipairs { "prune", "strip", "static" } do
		if t[name] ~= false then
			checks[#checks + 1] = name
		end
	end

	local env = {
		seed = seeds,
		script = script(t, where),
		checks = checks,
		-- Nothing that was not built from source may be left in a package.
		disallowedReferences = forbidden,
	}
	if t.source then
		env.src = t.source
	end
	if t.patches then
		env.patches = t.patches
	end
	if t.inputs then
		env.inputs = t.inputs
	end
	if t.native_inputs then
		env.native_inputs = t.native_inputs
	end
	if t.libc ~= "none" then
		env.musl = require "packages.musl"
		env.headers = require "packages.linux-headers"
	end

	local p = {
		recipe = t,
		name = t.name,
		version = t.version,
		synopsis = t.synopsis,
		license = t.license,
		home_page = t.home_page,
		location = where,
		drv = derivation {
			name = t.name .. "-" .. t.version,
			builder = seed.shell,
			args = { "sh", enter, seed.shell },
			env = env,
		},
	}
	return setmetatable(p, meta)
end

return { package = located(make), origin = origin, seed = seed }
