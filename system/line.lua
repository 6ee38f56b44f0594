-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What services.command and services.job share: a line of shell, or a program with arguments, and whose it is.

local accounts = require "system.accounts"
local init_service = require "system.init_service"
local own_paths = require "system.own_paths"
local tools = require "system.tools"

local M = {}

-- The fields of both, and more.
function M.fields(more)
	local fields = {
		name = schema.string { pattern = "^%w[%w._@-]*$", max = 64, what = "a service name (letters, digits, . _ @ -)", doc = "of the service" },
		run = schema.template { optional = true, multiline = true,
			doc = "for the shell, which finds the programs of the system's profile; an exec in front of the last command spares a process" },
		exec = schema.list(schema.template { multiline = true }, { optional = true, min = 1, doc = "instead of run: a program by its path, and its arguments" }),
		description = schema.string { optional = true, default_doc = "the first line of run", doc = "one line" },
		user = schema.string { default = "root", pattern = "^[a-z_][a-z0-9_-]*$", what = "the name of a user", doc = "whose rights it has" },
		account = schema.boolean { default = false, doc = "that user is made: an account of a program" },
		directory = schema.path { optional = true, doc = "made, owned by user; it runs there" },
		environment = schema.map(schema.string {}, schema.template {}, { default = {}, doc = "variables" }),
		capabilities = init_service.fields.capabilities,
		ambient_capabilities = init_service.fields.ambient_capabilities,
		sandbox = init_service.fields.sandbox,
	}
	for name, t in pairs(more) do
		fields[name] = t
	end
	return fields
end

function M.check(s)
	if not s.run and not s.exec then
		return "missing; it or exec says what to do", "run"
	elseif s.run and s.exec then
		return "there is run, too", "exec"
	elseif s.run and not s.run:find("%S") then
		return "has nothing but blanks", "run"
	elseif s.account and s.user == "root" then
		return "names whom to make an account for", "user"
	elseif s.user == "root" and s.ambient_capabilities then
		return "root has all of capabilities", "ambient_capabilities"
	end
	local why = s.directory and own_paths.check_private(s.directory, "leave it out, and begin run with cd " .. s.directory)
	if why then
		return why, "directory"
	end
end

-- The first line of a script, without what no description has; nil when nothing is left.
local function first_line(run)
	local text = run:match("^%s*([^\n]*)"):gsub("[\3-\31\127]", " "):match("^%s*(.-)[%s\\]*$")
	return text ~= "" and text or nil
end

-- What a service of either type adds; more: keys of its service of PID 1.
function M.parts(s, more)
	if s.user ~= "root" and #(s.capabilities or {}) > 0 and not s.ambient_capabilities then
		schema.warn(s, "'" .. s.user .. "' has none of them [ambient_capabilities names those that it is to have; {} says that it is meant so]",
			"capabilities")
	end
	local definition = {
		name = s.name, description = s.description or s.run and first_line(s.run) or s.name,
		exec = s.exec or { tools.busybox .. "/bin/busybox", "sh", "-c", s.run },
		user = s.user, environment = s.environment, working_directory = s.directory, sandbox = s.sandbox,
		capabilities = s.capabilities, ambient_capabilities = s.ambient_capabilities,
	}
	for key, v in pairs(more) do
		definition[key] = v
	end
	return {
		users = s.account and { accounts.user { name = s.user, system = true } } or {},
		activation = s.directory and { { directory = s.directory, mode = "0750", user = s.user } } or {},
		init = { definition },
	}
end

return M
