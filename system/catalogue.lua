-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What a configuration may hold, for people: service types and records, as text, JSON and Markdown. It is made from the tables
-- that check configurations. cairn system search, show and edit ask for it (system/cmd_types.c).

local accounts = require "system.accounts"
local deploy = require "system.deploy"
local disk = require "image"
local init_service = require "system.init_service"
local json = require "system.json"
local operating_system = require "system.operating_system"
local service = require "system.service"

local M = {}

-- ---- What there is ------------------------------------------------------------------------------

-- Records that configurations and the files of images and machines write, and those in the fields of kinds; each once. One without an
-- example is shown in that of what holds it.
local function records(kinds)
	local out, seen = {}, {}
	local function visit(rtype, example)
		if seen[rtype] then
			return
		end
		seen[rtype] = true
		out[#out + 1] = { name = rtype.name, doc = rtype.doc, keywords = rtype.keywords, example = rtype.example or example, lent = not rtype.example,
			location = rtype.loc, record = rtype, extends = {} }
		for _, f in ipairs(schema.fields(rtype)) do
			for _, inner in ipairs(f.records) do
				visit(inner, rtype.example or example)
			end
		end
	end
	visit(operating_system)
	visit(accounts.user)
	visit(init_service.init_service)
	visit(disk.image)
	visit(deploy.machine)
	for _, kind in ipairs(kinds) do
		for _, f in ipairs(schema.fields(kind.record)) do
			for _, inner in ipairs(f.records) do
				visit(inner, kind.example)
			end
		end
	end
	return out
end

-- The service types of the modules services.NAME.
local function types(names)
	local out = {}
	for name in names:gmatch("%S+") do
		local kind = service.kind(require("services." .. name))
		if kind then
			out[#out + 1] = { name = name, type = kind.name, doc = kind.doc, keywords = kind.keywords, example = kind.example, location = kind.location,
				record = kind.record, extends = kind.extends, many = kind.many or false, service = true }
		end
	end
	return out
end

-- ---- Fields -------------------------------------------------------------------------------------

local function literal(v)
	if type(v) == "string" then
		return '"' .. v:gsub('[\\"]', "\\%0"):gsub("\n", "\\n") .. '"'
	elseif schema.name(v) then
		return schema.name(v) .. " { … }"
	elseif type(v) ~= "table" then
		return tostring(v)
	end
	local parts = {}
	for i, item in ipairs(v) do
		parts[i] = literal(item)
	end
	if #parts > 0 then
		return "{ " .. table.concat(parts, ", ") .. " }"
	end
	for k, item in pairs(v) do
		parts[#parts + 1] = tostring(k) .. " = " .. literal(item)
	end
	return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

local function default_of(f)
	if f.default_doc then
		return f.default_doc
	elseif type(f.default) == "function" and f.kind ~= "func" then
		return "depends on the others"
	elseif f.default ~= nil then
		return literal(f.default)
	end
	return f.optional and "none" or "required"
end

local function type_of(f)
	local name = f.type
	if f.kind == "integer" or f.kind == "number" then
		if f.min and f.max then
			name = ("%s, %s to %s"):format(name, f.min, f.max)
		elseif f.min then
			name = ("%s, %s or more"):format(name, f.min)
		end
	elseif f.kind == "any" then
		name = f.what or name
	end
	return name
end

-- Those that must be given come first.
local function fields_of(entry)
	local out = {}
	for i, f in ipairs(schema.fields(entry.record)) do
		out[i] = { name = f.name, type = type_of(f), default = default_of(f), required = not f.optional,
			doc = f.doc or (f.kind ~= "any" and f.what) or "" }
	end
	table.sort(out, function(a, b)
		if a.required ~= b.required then
			return a.required
		end
		return a.name < b.name
	end)
	return out
end

-- ---- As text ------------------------------------------------------------------------------------

local function indent(text, by)
	return by .. text:gsub("\n(.)", "\n" .. by .. "%1")
end

-- Text in lines of at most width bytes.
local function fill(text, width)
	local lines, line = {}, ""
	for word in text:gmatch("%S+") do
		if line ~= "" and #line + 1 + #word > width then
			lines[#lines + 1] = line
			line = word
		else
			line = line == "" and word or line .. " " .. word
		end
	end
	lines[#lines + 1] = line
	return table.concat(lines, "\n")
end

local function heading(entry)
	local out = { "name: " .. (entry.service and "services." or "") .. entry.name, "location: " .. entry.location }
	if #entry.extends > 0 then
		out[#out + 1] = "extends: " .. table.concat(entry.extends, " ")
	end
	if entry.service then
		out[#out + 1] = "several: " .. (entry.many and "yes" or "no")
	end
	if entry.keywords then
		out[#out + 1] = "keywords: " .. entry.keywords
	end
	out[#out + 1] = "description: " .. (entry.doc or "none")
	return table.concat(out, "\n") .. "\n"
end

local function shown(entry)
	local out = { heading(entry), "fields:\n" }
	local list = fields_of(entry)
	for _, f in ipairs(list) do
		out[#out + 1] = ("  %s: %s; %s\n"):format(f.name, f.type, f.required and "required" or "default: " .. f.default)
		if f.doc ~= "" then
			out[#out + 1] = indent(fill(f.doc, 92), "      ") .. "\n"
		end
	end
	if #list == 0 then
		out[#out + 1] = "  none\n"
	end
	if entry.example then
		out[#out + 1] = "example:\n" .. indent(entry.example:gsub("%s+$", ""), "  ") .. "\n"
	end
	return table.concat(out)
end

-- ---- As Markdown --------------------------------------------------------------------------------

local function cell(text)
	return (text:gsub("|", "\\|"):gsub("%s+", " "))
end

local function code(text)
	return "`" .. cell(text) .. "`"
end

local function markdown_fields(entry)
	local out = { "| field | type | default | meaning |\n|---|---|---|---|\n" }
	for _, f in ipairs(fields_of(entry)) do
		local known = entry.name == "simple" and init_service.fields[f.name] and f.name ~= "requires"
		local default = (f.default:find('^[{"%d]') or f.default == "true" or f.default == "false") and code(f.default) or cell(f.default)
		if not known then
			out[#out + 1] = ("| `%s` | %s | %s | %s |\n"):format(f.name, cell(f.type), default, cell(f.doc))
		end
	end
	return #out > 1 and table.concat(out) or ""
end

local function markdown(entry)
	local out = { ("## %s%s\n\n"):format(entry.service and "services." or "", entry.name) }
	out[#out + 1] = fill((entry.doc or ""):gsub("^%l", string.upper) .. (entry.many and "; there may be several." or "."), 120) .. "\n\n"
	local fields = markdown_fields(entry)
	if entry.name == "simple" then
		out[#out + 1] = "All fields of `init_service`, and:\n\n"
	end
	out[#out + 1] = fields ~= "" and fields .. "\n" or ""
	if entry.example and not entry.lent then
		out[#out + 1] = "```lua\n" .. entry.example:gsub("%s+$", "") .. "\n```\n\n"
	end
	return table.concat(out)
end

-- ---- For the commands ---------------------------------------------------------------------------

local function as_json(entry)
	return json.text {
		name = entry.name, kind = entry.service and "service" or "record", location = entry.location, doc = entry.doc or "",
		keywords = entry.keywords or "", example = entry.example or "", several = entry.many or false, extends = entry.extends, fields = fields_of(entry),
	}
end

-- Everything that a search looks into, beside the name and the description.
local function words_of(entry)
	local out = {}
	for _, f in ipairs(fields_of(entry)) do
		out[#out + 1] = f.name .. " " .. f.doc
	end
	return table.concat(out, "\n")
end

-- For sys_eval_request.apply. args.types: names of the modules of service types. The result has, for each entry, the keys
-- "NAME ASPECT"; a record that has the name of a service type is left to that.
return function(_, args)
	local out, seen = {}, {}
	local function add(entry)
		if seen[entry.name] then
			return
		end
		seen[entry.name] = true
		for aspect, text in pairs {
			kind = entry.service and "service" or "record", location = entry.location, heading = heading(entry), doc = entry.doc or "",
			keywords = entry.keywords or "",
			shown = shown(entry), markdown = markdown(entry), fields = markdown_fields(entry), json = as_json(entry), words = words_of(entry),
		} do
			out[entry.name .. " " .. aspect] = text
		end
	end
	local kinds = types(args.types)
	for _, entry in ipairs(kinds) do
		add(entry)
	end
	for _, entry in ipairs(records(kinds)) do
		add(entry)
	end
	return out
end
