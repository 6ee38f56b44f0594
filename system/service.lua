-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Service types, and how the services of a system are folded into one.
--
-- A service type has typed fields and a function that says what a service of it adds to the system,
-- at extension points:
--
--	init            services for PID 1: init_service records (system/init_service.lua)
--	etc             files below /etc: { ["path"] = "text" | node | { text=, executable= } }
--	users, groups   accounts: records of system/accounts.lua
--	activation      { directory = "/var/lib/x", mode=, user=, group= } | { link = "/bin/sh", target = }
--	                | { command = { … }, name = "x" }: done at boot and at each switch
--	profile         packages for the system profile
--	privileged      { program =, … }: records of system/privileged.lua
--	init_settings   { ["log-size"] = "1M" }: keys of the section [init] of the service set
--	firmware        packages whose lib/firmware the kernel reads
--	network         names of services that configure networks: the group "networks" waits for them
--	listens         { protocol = "tcp", port =, address =, field = }: ports; no two services have the same
--	filters         { lets_in =, closes =, advice = function(protocol, port) }: who may keep packets from services, and means to
--	kernel_modules  names; sysctl: { ["net.ipv4.ip_forward"] = 1 }
--	environment     { NAME = "value" } of all services and logins
--	mentions        { user = | group = | service = "NAME", field =, record = }: names that must be there, and where they stand
--	NAME of a type  whatever that type takes: its `extend` gets the list as third argument
--
-- The order of the result is the order of the configuration and nothing else.

local M = {}

local POINTS = {
	init = "list", mentions = "list", etc = "map", users = "list", groups = "list", activation = "list", firmware = "list", network = "list", listens = "list",
	filters = "list", privileged = "list", profile = "list", init_settings = "map", kernel_modules = "list", sysctl = "map", environment = "map",
}

-- What adds nothing to the system.
local SILENT = { filters = true, listens = true, mentions = true }

local kinds = {}

local SPEC = { "check", "doc", "example", "extend", "extends", "fields", "keywords", "many", "name", "sources" }

local function check_spec(loc, spec)
	local known = {}
	for _, key in ipairs(SPEC) do
		known[key] = true
	end
	for key in pairs(spec) do
		if not known[key] then
			error(loc .. ": service_type '" .. tostring(spec.name) .. "': unknown key '" .. tostring(key) .. "'", 0)
		end
	end
	if type(spec.name) ~= "string" or type(spec.extend) ~= "function" then
		error(loc .. ": service_type needs a name and a function 'extend'", 0)
	elseif kinds[spec.name] or POINTS[spec.name] then
		error(loc .. ": there is already a service type or extension point '" .. spec.name .. "'", 0)
	end
	for _, key in ipairs { "doc", "example", "keywords" } do
		if spec[key] ~= nil and type(spec[key]) ~= "string" then
			error(loc .. ": service_type '" .. spec.name .. "': " .. key .. " is text", 0)
		end
	end
end

-- service_type { name=, doc=, keywords=, example=, fields=, check=, many=, sources=, extends = { types }, extend = function(cfg, os, given) }
-- gives the constructor of such services, which are records. sources: fields that keys of PID 1's services are made from where
-- those have another name, for errors. many: more than one is allowed. doc: what it is, in a sentence
-- or more; keywords: what people may look for who do not know the name; example: a Lua expression that makes a service of the type, with the variables services and system.
M.service_type = located(function(loc, spec)
	check_spec(loc, spec)
	local record = schema.record(spec.name, spec.fields or {}, { check = spec.check, doc = spec.doc })
	kinds[spec.name] = {
		name = spec.name, doc = spec.doc, keywords = spec.keywords, example = spec.example, location = loc, record = record, many = spec.many,
		extend = spec.extend, extends = spec.extends or {}, sources = spec.sources or {},
	}
	return record
end)

-- What is known of a type, by its constructor: name, doc, example, location, record, many, extends. Nothing when it is none.
function M.kind(constructor)
	for _, kind in pairs(kinds) do
		if kind.record == constructor then
			return kind
		end
	end
end

local function kind_of(v)
	local kind = type(v) == "table" and kinds[schema.name(v) or ""]
	return kind and schema.is(v, kind.record) and kind or nil
end

function M.is_service(v)
	return kind_of(v) ~= nil
end

-- The field of a service that a key of its service of PID 1 is made from, if it was given.
function M.source(s, key)
	local field = kind_of(s).sources[key] or key
	return schema.given(s)[field] ~= nil and field or nil
end

local usual = {}

-- Marks a service that services.base brings along.
function M.usual(s)
	usual[s] = true
	return s
end

-- What to do about service s, which is one too many: the advice that is given, or to leave it out where nobody asked for it.
function M.hint(s, advice)
	if not usual[s] then
		return advice and "[" .. advice .. "]" or "[leave out one]"
	end
	return "[services.base has it: without = { \"" .. schema.name(s) .. "\" } leaves it out; or "
		.. (advice or "system.modify_services changes it") .. "]"
end

-- For schema: a value that is a service.
function M.field(options)
	options = options or {}
	options.check = function(v)
		if not M.is_service(v) then
			return "expected a service (such as services.getty { … }), got " .. type(v)
		end
	end
	return schema.any(options)
end

-- Types in an order in which every one comes after those that extend it.
local function sorted_types(list)
	local types, named, state, out = {}, {}, {}, {}
	for _, s in ipairs(list) do
		local kind = kind_of(s)
		if not named[kind.name] then
			named[kind.name] = true
			types[#types + 1] = kind
		end
	end
	local function visit(t, path)
		if state[t] == "done" then
			return
		end
		if state[t] == "open" then
			error(t.location .. ": service types extend each other in a circle: " .. path .. t.name, 0)
		end
		state[t] = "open"
		for _, other in ipairs(types) do
			for _, point in ipairs(other.extends) do
				if point == t.name then
					visit(other, path .. t.name .. " <- ")
				end
			end
		end
		state[t] = "done"
		out[#out + 1] = t
	end
	for _, t in ipairs(types) do
		visit(t, "")
	end
	return out
end

local fail = schema.fail

local function add_map(into, from, point, s)
	for k, v in pairs(from) do
		if into[k] ~= nil then
			fail(s, point .. ": '" .. tostring(k) .. "' is given by another service, too")
		end
		into[k] = v
	end
end

-- Put what a service returned where it belongs; contributions to types wait in `given`.
local function fold(result, given, s, part)
	for point, value in pairs(part) do
		local kind = POINTS[point]
		if kind == "map" then
			add_map(result[point], value, point, s)
		elseif kind == "list" then
			for _, v in ipairs(value) do
				table.insert(result[point], v)
			end
		else
			local allowed = false
			for _, name in ipairs(kind_of(s).extends) do
				allowed = allowed or name == point
			end
			if not allowed then
				fail(s, "extends '" .. point .. "', which the type does not declare")
			end
			given[point] = given[point] or { by = s }
			table.insert(given[point], value)
		end
	end
end

-- The services of os (a list) as one table of extension points, and with it: origin, what the services of PID 1 and others were
-- made from (entry of init, activation, filters, listens or mentions, or key of init_settings -> service of list), asks, who is the first to need
-- a kernel module (name -> service of list), and edges, who adds something where: list of { service, point }.
function M.fold(list, os)
	local result, given, seen, parts = { origin = {}, asks = {}, edges = {} }, {}, {}, {}
	for point in pairs(POINTS) do
		result[point] = {}
	end
	for _, s in ipairs(list) do
		local kind = kind_of(s)
		schema.check(s)
		if seen[kind.name] and not kind.many then
			fail(s, "there is a second " .. kind.name .. " service [the first: " .. schema.location(seen[kind.name]) .. "] "
				.. M.hint(seen[kind.name]))
		end
		seen[kind.name] = s
	end
	-- Evaluate in the order of types, fold in the order of the configuration.
	for _, t in ipairs(sorted_types(list)) do
		for i, s in ipairs(list) do
			if kind_of(s) == t then
				parts[i] = t.extend(s, os, given[t.name] or {}) or {}
				for point, value in pairs(parts[i]) do
					if not POINTS[point] then
						fold(result, given, s, { [point] = value })
					end
				end
			end
		end
	end
	for i, s in ipairs(list) do
		local plain = {}
		for point, value in pairs(parts[i]) do
			if POINTS[point] then
				plain[point] = value
			end
		end
		fold(result, given, s, plain)
		for _, point in ipairs { "activation", "filters", "init", "listens", "mentions" } do
			for _, v in ipairs(plain[point] or {}) do
				result.origin[v] = s
			end
		end
		for key in pairs(plain.init_settings or {}) do
			result.origin[key] = s
		end
		for _, name in ipairs(plain.kernel_modules or {}) do
			result.asks[name] = result.asks[name] or s
		end
		for point, value in pairs(parts[i]) do
			if not SILENT[point] and (type(value) ~= "table" or next(value) ~= nil) then
				table.insert(result.edges, { s, point })
			end
		end
	end
	for point, list_of in pairs(given) do
		if not seen[point] then
			fail(list_of.by, "extends '" .. point .. "', but there is no such service")
		end
	end
	return result
end

return M
