-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- origin { urls = { "https://…", "mirror://debian/pool/…" }, sha256 = "…" }
--
-- A file from the network, known by its hash: a fixed-output derivation that
-- guix-daemon understands as well, so `url` is Scheme data.

local known = { urls = "table", sha256 = "string", name = "string", executable = "boolean" }

-- The name of the store item: the last part of the first pool path (or of the
-- last URL), with %XX decoded and what a store name cannot hold replaced.
local function item_name(url)
	local name = url:match("([^/]+)$") or "source"
	name = name:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
	name = name:gsub("[^%w+%-._?=]", "-"):gsub("^%.+", "")
	return name
end

return located(function(where, o)
	local function fail(message)
		error(where .. ": origin: " .. message, 0)
	end

	if type(o) ~= "table" then
		fail("expected a table, got " .. type(o))
	end
	for field, value in pairs(o) do
		if not known[field] then
			fail("unknown field '" .. tostring(field) .. "' [fields: executable, name, sha256, urls]")
		elseif type(value) ~= known[field] then
			fail(field .. ": expected " .. known[field] .. ", got " .. type(value))
		end
	end
	if not o.urls or #o.urls == 0 then
		fail("urls: at least one is needed")
	end
	if o.name and (#o.name == 0 or #o.name > 200 or o.name:find("[^%w+%-._?=]") or o.name:sub(1, 1) == ".") then
		fail("name: '" .. o.name .. "' cannot stand in a store path")
	end
	if not o.sha256 then
		fail("sha256: missing [what cannot be checked cannot be fetched]")
	elseif not (o.sha256:match("^%x+$") and #o.sha256 == 64)
		and not (o.sha256:match("^[0-9a-df-np-sv-z]+$") and #o.sha256 == 52) then
		fail("sha256: expected 64 hex digits or 52 base32 characters, got '" .. o.sha256 .. "'")
	end

	local quoted = {}
	for i, url in ipairs(o.urls) do
		if type(url) ~= "string" then
			fail("urls[" .. i .. "]: expected string, got " .. type(url))
		elseif not url:match("^https?://") and not url:match("^ftp://") and not url:match("^mirror://[%w-]+/") then
			fail("urls[" .. i .. "]: expected http, https, ftp or mirror://NAME/…, got '" .. url .. "'")
		elseif url:find("[\"\\%c]") then
			fail("urls[" .. i .. "]: quotes, backslashes and control characters are not allowed")
		end
		quoted[i] = '"' .. url .. '"'
	end

	local env = {
		url = #quoted == 1 and quoted[1] or "(" .. table.concat(quoted, " ") .. ")",
		impureEnvVars = "http_proxy https_proxy LC_ALL LC_MESSAGES LANG COLUMNS",
		preferLocalBuild = "1",
	}
	if o.executable then
		env.executable = "1"
	end
	return derivation {
		name = o.name or item_name(o.urls[#o.urls]),
		builder = "builtin:download",
		env = env,
		outputHash = o.sha256,
		outputHashAlgo = "sha256",
		outputHashMode = o.executable and "recursive" or "flat",
	}
end)
