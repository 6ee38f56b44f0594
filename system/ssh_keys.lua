-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Public keys of SSH, as ssh-keygen writes them: KIND, the key in base64, a comment; before them stand what options the server
-- takes. What it does not understand it leaves out, and says so to nobody who could not log in.

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

-- names: those of options; valued: those of them that have a value.
local function options(names, valued)
	local out = { values = {} }
	for name in (names .. " " .. valued):gmatch("%S+") do
		out[#out + 1], out.values[name:lower()] = name, false
	end
	for name in valued:gmatch("%S+") do
		out.values[name:lower()] = true
	end
	table.sort(out)
	return out
end

M.OPENSSH = options("agent-forwarding cert-authority no-agent-forwarding no-port-forwarding no-pty no-touch-required no-user-rc no-X11-forwarding "
	.. "port-forwarding pty restrict user-rc verify-required X11-forwarding",
	"command environment expiry-time from permitlisten permitopen principals tunnel")
M.OPENSSH.escapes = true -- \" is no end of a value

M.DROPBEAR = options("no-agent-forwarding no-port-forwarding no-pty no-X11-forwarding restrict", "command")

-- The first word of a line, which a blank between quotes does not end, and the rest.
local function split(line)
	local at, quoted = 1, false
	while at <= #line and (quoted or line:sub(at, at) ~= " ") do
		if line:sub(at, at + 1) == '\\"' then
			at = at + 1
		elseif line:sub(at, at) == '"' then
			quoted = not quoted
		end
		at = at + 1
	end
	return line:sub(1, at - 1), line:sub(at):gsub("^ +", "")
end

local function is_options(word, rest, kinds)
	local name = (word:match("^[%w-]+") or ""):lower()
	return not kinds[word] and (kinds[rest:match("^%S*")] or M.OPENSSH.values[name] ~= nil or word:find('[",]') ~= nil)
end

-- What is wrong with options that stand before a key.
local function check_options(text, takes)
	local plain, at = takes.escapes and text:gsub('\\"', "__") or text, 1
	repeat
		local name, stop = plain:match("^([%w-]+)()", at)
		local valued = takes.values[(name or ""):lower()]
		if name and valued == nil then
			return "the server takes no option '" .. name:sub(1, 40) .. "' before a key [it takes " .. table.concat(takes, ", ") .. "]"
		elseif name and valued then
			stop = plain:match('^="[^"]*"()', stop)
		end
		local after = name and stop and plain:sub(stop, stop)
		if after ~= "" and after ~= "," then
			local there = text:sub(at, at + 39):gsub("[\xc0-\xff][\x80-\xbf]*$", "") -- no half of a character
			return "before the key, '" .. there .. "' is not as options are written: NAME or NAME=\"VALUE\", with a comma between them"
		end
		at = stop + 1
	until after == ""
end

local function line_of(text)
	return (text:gsub("\n$", ""))
end

local function check(text, kinds, takes)
	local line = line_of(text)
	if line:find("PRIVATE KEY", 1, true) then
		return "is a private key [the public one is in the file that ends in .pub]"
	elseif line:find("\n", 1, true) then
		return "holds several lines [each key is an element of its own]"
	elseif line:find("[\1-\31\127]") then
		return "holds a control character"
	end
	local word, rest = split(line)
	if is_options(word, rest, kinds) then
		local why = check_options(word, takes)
		if why then
			return why
		end
		line = rest
	end
	local kind, key = line:match("^([%w@.-]+) ([%w+/=]+)%f[ \0]")
	if not kind then
		return "is no public key, as 'ssh-ed25519 AAAA… ann@home'"
			.. (line:find("^[%w_./-]+$") and ' [read_file("FILE") gives what is in a file]' or "")
	elseif not kinds[kind] then
		return "the server knows no keys of the kind '" .. kind:sub(1, 40) .. "' [it knows " .. table.concat(kinds, ", ") .. "]"
	elseif not is_whole(decode(key), kind) then
		return "the key is not all there, or not one of " .. kind .. " [the whole line of the file that ends in .pub]"
	end
end

-- A field: who is let in by which keys, of these kinds (a list); takes: the options that may stand before one.
function M.field(kinds, takes, doc)
	for _, kind in ipairs(kinds) do
		kinds[kind] = true
	end
	return schema.map(
		schema.string { pattern = "^[a-z_][a-z0-9_-]*$", what = "the name of a user" },
		schema.list(schema.string { multiline = true, max = 4000, check = function(v) return check(v, kinds, takes) end }),
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
