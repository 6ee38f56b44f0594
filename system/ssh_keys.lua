-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Public keys of SSH, as ssh-keygen writes them: KIND, the key in base64, a comment. What a server does not understand it leaves
-- out, and says so to nobody who could not log in.

local M = {}

local VALUES = {}
for i, c in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):gmatch("()(.)") do
	VALUES[c] = i - 1
end

-- The bytes of base64; what is none of it ends them.
local function decode(text)
	local out, bits, n = {}, 0, 0
	for c in text:gmatch(".") do
		if not VALUES[c] then
			break
		end
		bits, n = (bits << 6 | VALUES[c]) & 0xffff, n + 6
		if n >= 8 then
			n = n - 8
			out[#out + 1] = string.char(bits >> n & 255)
		end
	end
	return table.concat(out)
end

-- Are these all of its parts, each after its length in four bytes, of which the first is the kind?
local function is_whole(key, kind)
	local at, parts = 1, {}
	while at + 3 <= #key do
		local size = string.unpack(">I4", key, at)
		table.insert(parts, key:sub(at + 4, at + 3 + size))
		at = at + 4 + size
	end
	return at == #key + 1 and parts[1] == kind and #parts > 1
end

local function line_of(text)
	return (text:gsub("\n$", ""))
end

local function check(text, kinds)
	local line = line_of(text)
	if line:find("PRIVATE KEY", 1, true) then
		return "is a private key [the public one is in the file that ends in .pub]"
	elseif line:find("\n", 1, true) then
		return "holds several lines [each key is an element of its own]"
	elseif line:find("[\1-\31\127]") then
		return "holds a control character"
	end
	local kind, key = line:gsub("^restrict ", ""):match("^([%w@.-]+) ([%w+/=]+)%f[ \0]")
	if not kind then
		return "is no public key, as 'ssh-ed25519 AAAA… ann@home'"
			.. (line:find("^[%w_./-]+$") and ' [read_file("FILE") gives what is in a file]' or "")
	elseif not kinds[kind] then
		return "the server knows no keys of the kind '" .. kind:sub(1, 40) .. "' [it knows " .. table.concat(kinds, ", ") .. "]"
	elseif not is_whole(decode(key), kind) then
		return "the key is not all there, or not one of " .. kind .. " [the whole line of the file that ends in .pub]"
	end
end

-- A field: who is let in by which keys, of these kinds (a list).
function M.field(kinds, doc)
	for _, kind in ipairs(kinds) do
		kinds[kind] = true
	end
	return schema.map(
		schema.string { pattern = "^[a-z_][a-z0-9_-]*$", what = "the name of a user" },
		schema.list(schema.string { multiline = true, max = 4000, check = function(v) return check(v, kinds) end }),
		{ default = {}, doc = doc })
end

-- The files of a server, DIRECTORY/USER, for the extension points etc and mentions.
function M.files(directory, keys)
	local etc, mentions = {}, {}
	for user, list in pairs(keys) do
		mentions[#mentions + 1] = { user = user, field = "authorized_keys" }
		local lines = ""
		for _, key in ipairs(list) do
			lines = lines .. line_of(key) .. "\n"
		end
		etc[directory .. "/" .. user] = lines
	end
	return etc, mentions
end

return M
