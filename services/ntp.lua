-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The time from the network, and for it: busybox's ntpd.

local network = require "system.network"
local service = require "system.service"
local tools = require "system.tools"

return service.service_type {
	name = "ntp",
	doc = "the time from servers of the network (NTP), and for other machines",
	keywords = "time clock sntp timesync",
	example = 'services.ntp { servers = { "0.pool.ntp.org", "1.pool.ntp.org" } }',
	fields = {
		servers = schema.list(schema.string { pattern = "^[%w][%w.:%[%]-]*$", max = 253, what = "a name or address, with :PORT or without" },
			{ default = {}, unique = true, doc = "names or addresses, with :PORT or without; they are asked for again and again until they answer" }),
		serve = schema.boolean { default = false, doc = "also answer others, at UDP port 123" },
		interface = network.interface { optional = true, doc = "serve on it alone" },
	},
	check = function(s)
		if #s.servers == 0 and not s.serve then
			return "there is no server to ask, and nobody is served", "servers"
		elseif s.interface and not s.serve then
			return "is of use with serve = true only", "interface"
		end
	end,
	extend = function(s)
		local exec = { tools.busybox .. "/bin/busybox", "ntpd", "-n" }
		for _, server in ipairs(s.servers) do
			exec[#exec + 1] = "-p"
			exec[#exec + 1] = server
		end
		if s.serve then
			exec[#exec + 1] = "-l"
		end
		if s.interface then
			exec[#exec + 1] = "-I"
			exec[#exec + 1] = s.interface
		end
		return {
			listens = s.serve and { { protocol = "udp", port = 123, field = "serve" } } or {},
			init = {
				{
					name = "ntp", description = "time of the network", exec = exec,
					requires = { "base" }, after = { "networks", "clock" },
					restart_limit = 0,
					-- The profile's filter refuses every call that sets a clock.
					capabilities = { "net_bind_service", "sys_time", "sys_nice" }, seccomp = "none",
					read_only_paths = { "/" }, private_dev = true,
				},
			},
		}
	end,
}
