-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The graphs of a configuration as DOT and JSON: which service adds to which extension point, and which service of PID 1
-- waits for which.

local generation = require "system.generation"
local json = require "system.json"

local function quote(s)
	return '"' .. s:gsub('["\\]', "\\%0") .. '"'
end

local function dot(name, nodes, edges)
	local out = { "digraph " .. quote(name) .. " {\n\trankdir = LR;\n" }
	for _, n in ipairs(nodes) do
		out[#out + 1] = ("\t%s [shape = %s];\n"):format(quote(n[1]), n[2])
	end
	for _, e in ipairs(edges) do
		out[#out + 1] = ("\t%s -> %s [%s];\n"):format(quote(e[1]), quote(e[2]), e[3])
	end
	return table.concat(out) .. "}\n"
end

-- Services of one type are one node: "getty (2)".
local function extensions(list)
	local count, seen, names, nodes, edges, rows = {}, {}, {}, {}, {}, {}
	for _, edge in ipairs(list) do
		local s, kind = edge[1], schema.name(edge[1])
		if not seen[s] then
			seen[s] = true
			count[kind] = (count[kind] or 0) + 1
			names[#names + 1] = count[kind] == 1 and kind or nil
		end
	end
	local function label(kind)
		return (count[kind] or 1) > 1 and kind .. " (" .. count[kind] .. ")" or kind
	end
	local known = {}
	for _, kind in ipairs(names) do
		nodes[#nodes + 1] = { label(kind), "box" }
		known[kind] = true
	end
	for _, edge in ipairs(list) do
		local kind, point = schema.name(edge[1]), edge[2]
		if not known[point] then
			known[point] = true
			nodes[#nodes + 1] = { point, "ellipse" }
		end
		if not seen[kind .. "\n" .. point] then
			seen[kind .. "\n" .. point] = true
			edges[#edges + 1] = { label(kind), label(point), "style = solid" }
		end
		rows[#rows + 1] = { service = kind, location = schema.location(edge[1]), extends = point }
	end
	return dot("extensions", nodes, edges), json.text(rows)
end

-- How a relation is drawn; `before` is the other way round.
local RELATIONS = {
	{ "requires", "style = bold" }, { "binds", "style = bold, label = binds" }, { "milestones", "style = solid, label = milestones" },
	{ "wants", "style = solid" }, { "after", "style = dashed" }, { "before", "style = dashed" },
	{ "conflicts", "style = dotted, dir = none" },
}

local function services(list)
	local nodes, edges, rows = {}, {}, {}
	for i, s in ipairs(list) do
		nodes[i] = { s.name, s.type == "group" and "ellipse" or "box" }
		local row = { name = s.name, type = s.type or "simple" }
		for _, relation in ipairs(RELATIONS) do
			local field, style = relation[1], relation[2]
			for _, other in ipairs(s[field] or {}) do
				edges[#edges + 1] = field == "before" and { other, s.name, style } or { s.name, other, style }
			end
			row[field] = s[field]
		end
		rows[i] = row
	end
	return dot("services", nodes, edges), json.text(rows)
end

-- For sys_eval_request.apply: the value is a configuration.
return function(os)
	local edges, list = generation.graphs(os)
	local extension_dot, extension_json = extensions(edges)
	local service_dot, service_json = services(list)
	return {
		["extension dot"] = extension_dot, ["extension json"] = extension_json,
		["service dot"] = service_dot, ["service json"] = service_json,
	}
end
