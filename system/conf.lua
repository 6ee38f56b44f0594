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

local UNITS = { s = 1, min = 60, h = 3600 }

-- Of a duration such as "30s"; nil when it is none, or of no length.
function conf.seconds(text)
	local number, unit = text:match("^(%d+)(%a+)$")
	local n = number and UNITS[unit] and math.tointeger(number)
	return n and n > 0 and n * UNITS[unit] or nil
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

-- What keeps a text from being read back as it is where it stands without quotes; nothing: it is.
function conf.flaw(s)
	if s:find("[\3-\8\10-\31\127]") then
		return "holds a control character"
	elseif s:find("^%s") or s:find("%s$") then
		return "begins or ends with a blank"
	elseif s:find("\\$") then
		return "ends in a backslash"
	end
end

local function check(kind, name, key, s)
	local why = conf.flaw(s)
	if why then
		error(("[%s%s]%s: '%s' %s"):format(kind, name and " " .. name or "", key and " " .. key or "", s, why), 0)
	end
end

-- One section; rows are { key, text }, rows with a nil text are left out.
function conf.section(kind, name, rows)
	local out = { "[" .. kind .. (name and name ~= "" and " " .. name or "") .. "]\n" }
	check(kind, nil, nil, name or "")
	for _, row in ipairs(rows) do
		if row[2] ~= nil then
			check(kind, name, row[1], row[2])
			out[#out + 1] = row[1] .. " = " .. row[2] .. "\n"
		end
	end
	out[#out + 1] = "\n"
	return table.concat(out)
end

-- The text without placeholders of nodes: what somebody wrote around them.
function conf.written(s)
	return (s:gsub("\1%x+[^\1\2]*\2", ""))
end

-- What keeps a path from being the file of something secret, which is the machine's own; nil: nothing.
function conf.secret_file(path)
	if path:find("[\1-\31\127]") or path:find("^/gnu/store/") then
		return "everybody can read what is in the store: expected a file of the machine"
	end
	return conf.flaw(path)
end

return conf
