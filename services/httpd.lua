-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Files of a directory over HTTP: busybox's httpd, for what needs no more. The one that is built alone runs nothing that lies there.

local accounts = require "system.accounts"
local network = require "system.network"
local service = require "system.service"
local tools = require "system.tools"

return service.service_type {
	name = "httpd", many = true,
	doc = "files of a directory over HTTP, without encryption",
	keywords = "web http www server",
	example = 'services.httpd { root = "/srv/www", port = 8080 }',
	fields = {
		root = schema.template { default = "/srv/www", pattern = "^[/\1]", what = "an absolute path or an item of the store",
			doc = "what is served; a path is made when it is missing" },
		port = network.port { default = 80, doc = "TCP" },
		listen = network.address { optional = true, doc = "an address of the machine; left out: all" },
		scripts = schema.boolean { default = false, doc = "programs in its directory cgi-bin are run, and others as files httpd.conf there say" },
	},
	extend = function(s)
		local name = s.port == 80 and not s.listen and "httpd" or "httpd@" .. s.port
		local where = tostring(s.port)
		if s.listen then
			name = name .. "-" .. s.listen:gsub(":", "_")
			where = (network.family(s.listen) == 6 and "[" .. s.listen .. "]" or s.listen) .. ":" .. where
		end
		local program = s.scripts and { tools.busybox .. "/bin/busybox", "httpd" } or { require("packages.httpd") .. "/bin/httpd" }
		local exec = table.move({ "-f", "-p", where, "-h", s.root, "-c", "/dev/null" }, 1, 7, #program + 1, program)
		local own = s.root:sub(1, 1) == "/" and not s.root:find("^/gnu/store/")
		return {
			listens = { { protocol = "tcp", port = s.port, address = s.listen, field = "port" } },
			users = { accounts.user { name = "httpd", system = true } },
			activation = own and { { directory = s.root, mode = "0755" } } or {},
			init = {
				{
					name = name, description = "files over HTTP at port " .. s.port,
					exec = exec,
					user = "httpd", requires = { "base" }, after = { "networks", "firewall" },
					capabilities = { "net_bind_service" }, ambient_capabilities = { "net_bind_service" },
					read_only_paths = { "/" }, private_dev = true, limit = { "nofile 1024" },
				},
			},
		}
	end,
}
