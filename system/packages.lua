-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What the commands for packages ask: which targets names stand for, and what packages say about
-- themselves. Results are a flat table: "1" is the first target, "1 version" a text that belongs to it.

local function is_package(v)
	return type(v) == "table" and not schema.name(v) and is_node(v.drv)
end

local function field(v, name)
	local text = is_package(v) and v[name]
	return type(text) == "string" and text or ""
end

-- Names, outputs and versions become lines of a manifest.
local function checked(what, text, pattern)
	if not text:find(pattern) then
		error(string.format("package: %q is not a %s", text, what), 0)
	end
	return text
end

local function checked_version(package)
	return checked("version", field(package, "version"), "^[%w+%-._?=~:@]*$")
end

-- "hello" or "git:lib": what it is, the name it goes by, the output.
local function named(text)
	local name, output = text:match("^([^:]*):(.+)$")
	name, output = name or text, output or "out"
	local v = find_package(name, true)
	if not is_node(v) and not is_package(v) then
		error("'" .. name .. "' is not a package", 0)
	end
	return v, name, output
end

-- A name, a package, or a node.
local function described(v, where)
	if type(v) == "string" then
		local package, name, output = named(v)
		return package, checked("name", name, "^[%w+%-._?=@/]+$"), checked("name of an output", output, "^[%w+%-._?=]+$")
	elseif is_package(v) then
		local name = v.name or v.drv.name
		return v, checked("name", type(name) == "string" and name or "", "^[%w+%-._?=@/]+$"), "out"
	elseif is_node(v) then
		return v, v.name, "out"
	end
	error(where .. ": expected the name of a package, or a package, got " .. (schema.name(v) or type(v)), 0)
end

local function selected(v, name, output)
	local node = is_node(v) and v or v.drv
	if output == "out" then
		return node
	end
	local out = node[output]
	if not is_node(out) then
		error("package '" .. name .. "' has no output '" .. output .. "'", 0)
	end
	return out
end

-- Lines of args.names, then what a file returned.
local function wanted(value, args)
	local list = {}
	for name in (args.names or ""):gmatch("[^\n]+") do
		list[#list + 1] = name
	end
	if type(value) == "table" and not is_node(value) and not is_package(value) and not schema.name(value) then
		for i, v in ipairs(value) do
			list[#list + 1] = v
		end
		for k in pairs(value) do
			if math.type(k) ~= "integer" or k < 1 or k > #value then
				error("a list of packages has the key '" .. tostring(k) .. "'", 0)
			end
		end
	elseif value ~= true then
		list[#list + 1] = value
	end
	return list
end

local actions = {}

-- The targets themselves.
function actions.targets(value, args)
	local out = {}
	for i, v in ipairs(wanted(value, args)) do
		local package, name, output = described(v, "package " .. i)
		out[tostring(i)] = selected(package, name, output)
		out[i .. " name"] = name
		out[i .. " version"] = checked_version(package)
		out[i .. " output"] = output
	end
	return out
end

-- As targets, without those that the index does not know.
function actions.known(value, args)
	local index, names = require "packages.index", {}
	for name in args.names:gmatch("[^\n]+") do
		if index[name:match("^[^:]+")] ~= nil then
			names[#names + 1] = name
		end
	end
	return actions.targets(value, { names = table.concat(names, "\n") })
end

-- What is needed to work on a package in a shell: its inputs, of both kinds.
function actions.development(value, args)
	local out, n = {}, 0
	for i, v in ipairs(wanted(value, args)) do
		local package, name = described(v, "package " .. i)
		if not is_package(package) or type(package.recipe) ~= "table" then
			error("package '" .. name .. "' does not say what it is built with", 0)
		end
		for _, kind in ipairs { "inputs", "native_inputs" } do
			for _, input in ipairs(package.recipe[kind] or {}) do
				local p, input_name = described(input, name)
				n = n + 1
				out[tostring(n)] = selected(p, input_name, "out")
				out[n .. " name"] = input_name
				out[n .. " version"] = checked_version(p)
				out[n .. " output"] = "out"
			end
		end
	end
	return out
end

-- Texts about all packages, or those named. What cannot be evaluated is left out of the list of all.
function actions.texts(value, args)
	local out, n = {}, 0
	local names = wanted(value, args)
	local all = #names == 0
	if all then
		for name in pairs(require "packages.index") do
			names[#names + 1] = name
		end
	end
	for _, text in ipairs(names) do
		local ok, package, name = pcall(described, text, "package")
		if not ok and not all then
			error(package, 0)
		end
		if ok and is_package(package) then
			n = n + 1
			out[n .. " name"] = name
			for _, key in ipairs { "version", "synopsis", "license", "home_page", "location" } do
				out[n .. " " .. key] = field(package, key)
			end
			local recipe = package.recipe or {}
			out[n .. " description"] = type(recipe.description) == "string" and recipe.description or ""
			local inputs = {}
			for _, input in ipairs(recipe.inputs or {}) do
				inputs[#inputs + 1] = input.name
			end
			out[n .. " inputs"] = table.concat(inputs, " ")
		end
	end
	return out
end

return function(value, args)
	return actions[args.action](value, args)
end
