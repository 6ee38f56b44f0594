-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What programs say through /dev/log, in /var/log/messages.

local service = require "system.service"
local tools = require "system.tools"

return service.service_type {
	name = "syslogd",
	doc = "system log",
	fields = {
		file = schema.path { default = "/var/log/messages" },
		size = schema.integer { default = 1024, min = 0, max = 1048576, doc = "KiB before rotation" },
		keep = schema.integer { default = 4, min = 0, max = 99, doc = "rotated files" },
	},
	extend = function(s)
		return {
			init = {
				{
					name = "syslogd", description = "system log",
					exec = { tools.busybox .. "/bin/busybox", "syslogd", "-n", "-O", s.file,
						"-s", tostring(s.size), "-b", tostring(s.keep) },
					requires = { "activation", "file-systems" },
					capabilities = { "chown", "dac_override", "fowner" },
				},
			},
		}
	end,
}
