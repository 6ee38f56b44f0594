-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Keyboard layouts of the console, of which packages/keymaps.lua has the files.

local names = require "packages.keymaps.names"

local keyboards = {}

local known = {}
for _, name in ipairs(names) do
	known[name] = true
end

-- Those that begin alike: with as many letters as any name shares.
local function near(name)
	for length = math.min(#name, 12), 1, -1 do
		local start, list = name:sub(1, length):lower(), {}
		for _, candidate in ipairs(names) do
			if candidate:sub(1, length):lower() == start and #list < 12 then
				list[#list + 1] = candidate
			end
		end
		if #list > 0 then
			return table.concat(list, ", ")
		end
	end
	return "us, uk, de, fr"
end

-- Nothing when there is such a layout, else what to say.
function keyboards.check(name)
	if not known[name] then
		return "there is no keyboard layout '" .. name .. "' [there are: " .. near(name) .. "]"
	end
end

-- The file of that name.
function keyboards.file(name)
	return require("packages.keymaps") .. "/share/keymaps/" .. name .. ".bmap"
end

-- The name, or an error.
function keyboards.demand(name)
	local why = keyboards.check(name)
	return why and error(why, 0) or name
end

return keyboards
