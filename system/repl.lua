-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What "cairn repl" prints of a value: text in a fixed order, nodes as their store paths.

local DEPTH, LENGTH = 4, 200

local show

local function quoted(s)
	return '"' .. s:gsub('[\\"\n\t]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\t"] = "\\t" }) .. '"'
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

function show(v, depth, indent)
	if type(v) == "string" then
		return quoted(v)
	elseif is_node(v) then
		return "<" .. v.name .. " " .. tostring(v) .. ">"
	elseif type(v) ~= "table" then
		return tostring(v)
	elseif schema.name(v) then
		return schema.name(v) .. " " .. (depth < DEPTH and fields(v, depth, indent) or "{ … }")
	elseif is_node(v.drv) then
		return "<package " .. tostring(v.name) .. " " .. tostring(v.version or "") .. " " .. tostring(v.drv) .. ">"
	elseif depth >= DEPTH then
		return "{ … }"
	end
	return fields(v, depth, indent)
end

return function(value)
	return { text = value == nil and "" or show(value, 0, "") }
end
