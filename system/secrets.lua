-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Secrets: a configuration names them, files of the machine have their values, the store has none.

local accounts = require "system.accounts"
local conf = require "system.conf"

local M = {}

M.secret = schema.record("secret", {
	name = schema.string { pattern = "^[%w_][%w._-]*$", max = 64, what = "a file name", doc = "of the file below /run/secrets" },
	source = schema.path {
		default_doc = "/etc/cairn/secrets/NAME", doc = "file of the machine, root's and of mode 0600, that has the value",
		default = function(s)
			return "/etc/cairn/secrets/" .. s.name
		end,
		check = conf.secret_file,
	},
	user = accounts.name { default = "root", doc = "who may read it" },
	group = accounts.name { default = "root", doc = "who else, if the mode says so" },
	mode = schema.string { default = "0400", pattern = "^0?[4-7][0-7]0$", what = "an octal mode that lets nobody else read it" },
	version = schema.integer {
		default = 1, min = 1,
		doc = "raised when the file has another value: it is read once for each version, so that a roll-back finds the value from before",
	},
	services = schema.list(schema.string { pattern = "^%w[%w._@-]*$", max = 64, what = "the name of a service" },
		{ default = {}, unique = true, doc = "services that start again when the version changes" }),
}, {
	doc = "something that only a service may know", keywords = "password key token",
	example = [[
secrets = { { name = "wifi-home", services = { "dhcp" } } }]],
})

-- The file "secrets". The version is for nobody to read: it makes another generation of it.
function M.text(list)
	local out = {}
	for i, s in ipairs(list) do
		out[i] = "# version " .. s.version .. "\n" .. conf.section("secret", s.name, {
			{ "source", s.source }, { "user", s.user }, { "group", s.group }, { "mode", tostring(tonumber(s.mode, 8)) },
		})
	end
	return table.concat(out)
end

-- Variables with the versions of secrets: in a service's environment, another version starts it again.
function M.versions(list)
	local out = {}
	for _, secret in ipairs(list) do
		out["SECRET_" .. secret.name:upper():gsub("[^%w]", "_") .. "_VERSION"] = tostring(secret.version)
	end
	return out
end

-- Files below /run/secrets are made of secrets of the configuration: those of a field are among them.
function M.check_file(os, record, field)
	local name, names = (record[field] or ""):match("^/run/secrets/(.*)$"), {}
	for i, secret in ipairs(os.secrets) do
		names[i] = secret.name
		name = secret.name ~= name and name or nil
	end
	if name then
		schema.fail(record, "there is no secret '" .. name .. "'" .. schema.suggestion(name, names), field)
	end
end

-- Services of PID 1 with the versions of their secrets in their definition, so that another one restarts them.
function M.mark(list, services)
	local versions, known, names = {}, {}, {}
	for _, secret in ipairs(list) do
		for _, name in ipairs(secret.services) do
			versions[name] = versions[name] or {}
			table.insert(versions[name], secret)
		end
	end
	for i, s in ipairs(services) do
		known[s.name], names[i] = true, s.name
		if versions[s.name] then
			local environment = {}
			for k, v in pairs(s.environment or {}) do
				environment[k] = v
			end
			for k, v in pairs(M.versions(versions[s.name])) do
				environment[k] = v
			end
			services[i] = s:with { environment = environment }
		end
	end
	for _, secret in ipairs(list) do
		for _, name in ipairs(secret.services) do
			if not known[name] then
				schema.fail(secret, "there is no service '" .. name .. "'" .. schema.suggestion(name, names), "services")
			end
		end
	end
	return services
end

return M
