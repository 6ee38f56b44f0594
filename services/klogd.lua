-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What the kernel says, passed on to the system log.

local service = require "system.service"
local tools = require "system.tools"

return service.service_type {
	name = "klogd",
	doc = "kernel messages to the system log",
	fields = {
		level = schema.integer { default = 4, min = 1, max = 8, doc = "messages above it also go to the console" },
	},
	extend = function(s)
		return {
			init = {
				{
					name = "klogd", description = "kernel log",
					exec = { tools.busybox .. "/bin/busybox", "klogd", "-n", "-c", tostring(s.level) },
					requires = { "activation" }, after = { "syslogd" },
					capabilities = { "syslog" }, private_network = true,
				},
			},
		}
	end,
}
