-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Any program as a service: all the fields of doc/service-set.md, '_' for '-'.

local init_service = require "system.init_service"
local own_paths = require "system.own_paths"
local service = require "system.service"

local fields = {}
for name, t in pairs(init_service.fields) do
	fields[name] = t
end
fields.requires = schema.list(schema.string {}, { default = { "base" }, doc = "must be up before, and while it runs" })
fields.users = schema.list(schema.of(require("system.accounts").user), { default = {}, doc = "accounts that it needs" })
fields.groups_needed = schema.list(schema.of(require("system.accounts").group), { default = {}, doc = "groups that it needs" })
fields.directories = schema.list(schema.path {}, { default = {}, doc = "made before it starts, owned by user" })

return service.service_type {
	name = "simple", many = true, fields = fields,
	doc = "a program as a service",
	keywords = "unit systemd shepherd daemon",
	example = [[
services.simple {
	name = "web", exec = { require "packages.httpd" .. "/bin/httpd", "-f", "-p", "8080" },
	directories = { "/srv/www" }, memory_max = "64M",
}]],
	check = function(s)
		for _, path in ipairs(s.directories) do
			local why = own_paths.check_private(path, "leave it out: it is there")
			if why then
				return why, "directories"
			end
		end
	end,
	extend = function(s)
		local definition, activation = {}, {}
		for name in pairs(init_service.fields) do
			definition[name] = s[name]
		end
		for _, path in ipairs(s.directories) do
			activation[#activation + 1] = { directory = path, mode = "0750", user = s.user, group = s.group }
		end
		return {
			init = { definition },
			users = s.users, groups = s.groups_needed, activation = activation,
		}
	end,
}
