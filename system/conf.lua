-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Text in the form that lib/conf reads: sections, "key = value" lines, quoted words. Placeholders of
-- nodes (bytes \1 and \2) pass through untouched.

local conf = {}

local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["\t"] = "\\t" }

local function escape(c)
	return escapes[c] or string.format("\\x%02x", c:byte())
end

-- Always in quotes, whatever it holds but NUL.
function conf.quote(s)
	return '"' .. tostring(s):gsub('[\\"\n\t\3-\8\11-\31\127]', escape) .. '"'
end

-- As it is when that reads back the same.
function conf.word(s)
	s = tostring(s)
	if s ~= "" and not s:find('[%s"\\\3-\31\127]') and s:sub(1, 1) ~= "#" then
		return s
	end
	return conf.quote(s)
end

function conf.words(list)
	local out = {}
	for i, v in ipairs(list) do
		out[i] = conf.word(v)
	end
	return table.concat(out, " ")
end

function conf.bool(v)
	return v and "yes" or "no"
end

-- One section; rows are { key, text }, rows with a nil text are left out.
function conf.section(kind, name, rows)
	local out = { "[" .. kind .. (name and name ~= "" and " " .. name or "") .. "]\n" }
	for _, row in ipairs(rows) do
		if row[2] ~= nil then
			out[#out + 1] = row[1] .. " = " .. row[2] .. "\n"
		end
	end
	out[#out + 1] = "\n"
	return table.concat(out)
end

return conf
