-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What "cairn repl" prints of a value: text in a fixed order, nodes as their store paths.

local DEPTH, LENGTH = 4, 200

local show

-- A byte 1 that begins no node's placeholder would be refused.
local function quoted(s)
	s = s:gsub('[\\"\n\t]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\t"] = "\\t" })
	return '"' .. s:gsub("\1(%x*)", function(id)
		return #id < 32 and "\\1" .. id or nil
	end) .. '"'
end

local function key_text(k)
	if type(k) == "string" and k:find("^[%a_][%w_]*$") then
		return k
	end
	return "[" .. (type(k) == "string" and quoted(k) or tostring(k)) .. "]"
end

local function fields(t, depth, indent)
	local out, n = {}, 0
	for k, v in pairs(t) do
		n = n + 1
		if n > LENGTH then
			out[#out + 1] = indent .. "  …\n"
			break
		end
		local name = math.type(k) == "integer" and k == n and "" or key_text(k) .. " = "
		out[#out + 1] = indent .. "  " .. name .. show(v, depth + 1, indent .. "  ") .. ",\n"
	end
	return n == 0 and "{}" or "{\n" .. table.concat(out) .. indent .. "}"
end

local function field_text(f)
	local default = f.default ~= nil and type(f.default) ~= "function" and type(f.default) ~= "table" and "default " .. show(f.default, 0, "")
	local more = default or f.optional and "optional"
	return f.type .. (more and ", " .. more or "") .. (f.doc and ": " .. f.doc or "")
end

-- Constructors: of what, and with which fields.
local function constructor(v, depth, indent)
	local head = "<constructor of " .. v.name .. (v.doc and ": " .. v.doc or "") .. ">"
	if depth > 0 then
		return head
	end
	local out = { head .. " {\n" }
	for _, f in ipairs(schema.fields(v)) do
		out[#out + 1] = indent .. "  " .. f.name .. " -- " .. field_text(f) .. "\n"
	end
	return table.concat(out) .. indent .. "}"
end

-- What services gives by name is there when it is asked for.
local function services_text(types, depth, indent)
	local services, out = require "services", {}
	if depth > 0 then
		return "<service types>"
	end
	for name in ("base " .. types):gmatch("%S+") do
		local ok, value = pcall(function() return services[name] end)
		out[#out + 1] = indent .. "  " .. name .. " = " .. (ok and show(value, depth + 1, indent .. "  ") or "<" .. tostring(value) .. ">") .. ",\n"
	end
	return "{\n" .. table.concat(out) .. indent .. "}"
end

local types

function show(v, depth, indent)
	if type(v) == "string" then
		return quoted(v)
	elseif is_node(v) then
		return "<" .. v.name .. " " .. tostring(v) .. ">"
	elseif type(v) ~= "table" then
		return tostring(v)
	elseif schema.name(v) then
		return schema.name(v) .. " " .. (depth < DEPTH and fields(v, depth, indent) or "{ … }")
	elseif getmetatable(v) == "schema record" then
		return constructor(v, depth, indent)
	elseif getmetatable(v) == "schema type" then
		return "<type " .. v.name .. (v.doc and ": " .. v.doc or "") .. ">"
	elseif v == require "services" then
		return services_text(types, depth, indent)
	elseif is_node(v.drv) then
		return "<package " .. tostring(v.name) .. " " .. tostring(v.version or "") .. " " .. tostring(v.drv) .. ">"
	elseif depth >= DEPTH then
		return "{ … }"
	end
	return fields(v, depth, indent)
end

return function(value, args)
	types = args.types
	return { text = value == nil and "" or show(value, 0, "") }
end
