-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The shorthand: a line of shell as a service. services.simple has all that PID 1 can do.

local line = require "system.line"
local service = require "system.service"

return service.service_type {
	name = "command", many = true,
	doc = "an ordinary command as a service: a line of shell that goes on running",
	example = 'services.command { name = "echo", run = "exec nc -lk -p 7000 -e cat" }',
	fields = line.fields {
		requires = schema.list(schema.string {}, { default = { "base" }, doc = "services that must be up" }),
		restart = schema.enum({ "always", "on-failure", "never" }, { default = "always", doc = "when it ends by itself" }),
	},
	check = line.check,
	extend = function(s)
		return line.parts(s, { requires = s.requires, restart = s.restart })
	end,
}
