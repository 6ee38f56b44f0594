-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- JSON text of strings, numbers, booleans, and tables of them. A table with elements, or an empty one, is a list.

local json = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t" }

local function quote(s)
	return '"' .. s:gsub('[%c"\\\127]', function(c)
		return ESCAPES[c] or ("\\u%04x"):format(c:byte())
	end) .. '"'
end

function json.text(v)
	if type(v) == "table" then
		local parts = {}
		if #v > 0 or next(v) == nil then
			for i, item in ipairs(v) do
				parts[i] = json.text(item)
			end
			return "[" .. table.concat(parts, ",") .. "]"
		end
		for k, item in pairs(v) do
			parts[#parts + 1] = quote(k) .. ":" .. json.text(item)
		end
		return "{" .. table.concat(parts, ",") .. "}"
	elseif type(v) == "string" then
		return quote(v)
	end
	return tostring(v)
end

return json
