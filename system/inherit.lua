-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Systems that are made from another: system.inherit(base, changes). A field of changes replaces that of base, but for
--
--	system.change { add = …, remove = { names }, modify = { [name] = fields or function } }
--
-- which changes lists and tables. Elements are named by what tells them apart: see key_of.

local service = require "system.service"

local M = {}

local changes = {} -- what change() gave -> { loc, add, remove, modify }

local KEYS = { file_systems = "mount_point", swap = "device", directories = "path", mapped_devices = "target" }

-- Field of a record that may not have it.
local function field_of(v, name)
	for k, item in pairs(v) do
		if k == name then
			return item
		end
	end
end

-- Does the element v of a list have this name? A service has that of its type, that of its field name, and TYPE@VALUE with the
-- value of one of its fields (getty@ttyS0), as services of PID 1 are called.
local function is_named(v, name, field)
	if service.is_service(v) then
		local kind = schema.name(v)
		if kind == name or field_of(v, "name") == name then
			return true
		end
		local of, value = name:match("^(.-)@(.+)$")
		if of ~= kind then
			return false
		end
		for _, item in pairs(v) do
			if item == value then
				return true
			end
		end
		return false
	elseif type(v) ~= "table" or is_node(v) then
		return tostring(v) == name
	elseif schema.name(v) or not is_node(v.drv) then
		return field_of(v, field) == name
	end
	return v.name == name -- a package
end

local function names_of(list, field)
	local out = {}
	for _, v in ipairs(list) do
		local plain = type(v) ~= "table" or is_node(v)
		out[#out + 1] = tostring(service.is_service(v) and schema.name(v) or plain and v or field_of(v, field))
	end
	return table.concat(out, ", ")
end

local function changed(v, how, loc)
	if type(how) == "function" then
		v = how(v)
		if v == nil then
			error(loc .. ": the function returns nothing", 0)
		end
		return v
	elseif schema.name(v) then
		return schema.with(loc, v, how)
	elseif type(v) ~= "table" then
		error(loc .. ": '" .. tostring(v) .. "' has no fields to modify", 0)
	end
	local out = {}
	for _, map in ipairs { v, how } do
		for k, item in pairs(map) do
			out[k] = item
		end
	end
	return out
end

-- list as change says. A name that nothing has is an error: a base that changes must not undo the change in silence.
local function change_list(list, c, field, what)
	local out, used = {}, {}
	local function said(name)
		used[name] = true
		return true
	end
	for _, v in ipairs(list) do
		local keep = true
		for _, name in ipairs(c.remove) do
			keep = not (is_named(v, name, field) and said(name)) and keep
		end
		for name, how in pairs(c.modify) do
			if keep and is_named(v, name, field) then
				said(name)
				v = changed(v, how, c.loc)
			end
		end
		out[#out + 1] = keep and v or nil
	end
	local function check(name)
		if not used[name] then
			error(c.loc .. ": " .. what .. " of the base: there is no '" .. tostring(name) .. "' [there are: "
				.. names_of(list, field) .. "]", 0)
		end
	end
	for _, name in ipairs(c.remove) do
		check(name)
	end
	for name in pairs(c.modify) do
		check(name)
	end
	if #c.add == 0 and next(c.add) ~= nil then
		error(c.loc .. ": " .. what .. ": add: expected a list, { { … } }", 0)
	end
	for _, v in ipairs(c.add) do
		out[#out + 1] = v
	end
	return out
end

local function change_map(map, c, what)
	local out = {}
	for k, v in pairs(map) do
		out[k] = v
	end
	for _, k in ipairs(c.remove) do
		if out[k] == nil then
			error(c.loc .. ": " .. what .. " of the base: there is no '" .. tostring(k) .. "'", 0)
		end
		out[k] = nil
	end
	for _, more in ipairs { c.modify, c.add } do
		for k, v in pairs(more) do
			out[k] = v
		end
	end
	return out
end

local PARTS = { add = true, remove = true, modify = true }

M.change = located(function(loc, how)
	if type(how) ~= "table" then
		error(loc .. ": change: expected a table with add, remove, modify", 0)
	end
	local c = { loc = loc, add = {}, remove = {}, modify = {} }
	for k, v in pairs(how) do
		if not PARTS[k] or type(v) ~= "table" then
			error(loc .. ": change: " .. (PARTS[k] and "'" .. k .. "' is not a table" or "unknown key '" .. tostring(k)
				.. "' [there are: add, modify, remove]"), 0)
		end
		c[k] = v
	end
	local token = {}
	changes[token] = c
	return token
end)

-- A list of services, changed: { daemon = { max_jobs = 2 }, dhcp = false } modifies the first and leaves out the second.
M.modify_services = located(function(loc, list, how)
	local c = { loc = loc, add = {}, remove = {}, modify = {} }
	for name, what in pairs(how) do
		if what == false then
			c.remove[#c.remove + 1] = name
		else
			c.modify[name] = what
		end
	end
	return change_list(list, c, "name", "services")
end)

-- base: an operating_system, or a table of some of its fields.
function M.inherit(loc, rtype, base, given)
	local fields = schema.given(base)
	if type(fields) ~= "table" or type(given) ~= "table" then
		error(loc .. ": inherit: expected an operating_system or a table of its fields, and a table of changes", 0)
	end
	local defaults = {}
	for _, f in ipairs(schema.fields(rtype)) do
		defaults[f.name] = f
	end
	for k, v in pairs(given) do
		local c = changes[v]
		if not c then
			fields[k] = v
		else
			local f = defaults[k]
			local old = fields[k]
			if old == nil and f then
				old = f.default
				if type(old) == "function" then
					old = old(fields)
				end
			end
			if not f or (f.kind ~= "list" and f.kind ~= "map") then
				error(c.loc .. ": '" .. tostring(k) .. "' is neither a list nor a table that can be changed", 0)
			end
			fields[k] = f.kind == "map" and change_map(old or {}, c, k) or change_list(old or {}, c, KEYS[k] or "name", k)
		end
	end
	return schema.at(loc, rtype, fields)
end

return M
