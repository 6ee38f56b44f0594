-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A small server with most fields in use: data on a second disk, people, a web server with a service
-- type of its own.

local busybox = require "packages.busybox"
local httpd = require "packages.httpd"
local services = require "services"
local system = require "system"

-- Files below a directory over HTTP, by the web server of busybox. A type of one's own: typed fields, and what a service
-- of it adds to the system.
local web = system.service_type {
	name = "web",
	doc = "files over HTTP",
	fields = {
		root = schema.path { default = "/srv/www" },
		port = schema.integer { default = 80, min = 1, max = 65535 },
	},
	extend = function(s)
		return {
			users = { system.user { name = "web", system = true } },
			activation = { { directory = s.root, mode = "0755" } },
			etc = { ["httpd.conf"] = "H:" .. s.root .. "\nI:index.html\n" },
			init = {
				{
					name = "web", description = "files over HTTP",
					exec = { httpd .. "/bin/httpd", "-f", "-p", tostring(s.port), "-u", "web", "-c", "/etc/httpd.conf" },
					requires = { "base" }, after = { "networks" }, limit = { "nofile 256" },
				},
			},
		}
	end,
}

return system.operating_system {
	host_name = "server",
	label = "Server \"one\"",
	timezone = "Europe/Berlin",
	keyboard = "de-latin1",
	kernel_arguments = { "console=tty0", "console=ttyS0,115200", "panic=10" },

	file_systems = {
		{ device = "LABEL=cairn-root", mount_point = "/", options = { "noatime" } },
		{ device = "LABEL=data", mount_point = "/srv", may_fail = true, flags = { "no_dev" }, repair = "all" },
		{ device = "/srv/www files", mount_point = "/var/www", flags = { "bind" }, may_fail = true, dependencies = { "/srv" } },
		{ device = "LABEL=archive", mount_point = "/archive", mount = false },
		{ mount_point = "/tmp", type = "tmpfs", options = { "nosuid", "nodev", "size=256M", "mode=1777" } },
	},
	swap = {
		{ device = "LABEL=swap", priority = 5, discard = true },
		{ device = "/var/swap", size = "64M" },
	},
	directories = { { path = "/srv/upload", mode = "2770", user = "web", group = "staff", clean = true } },
	device_rules = { { subsystem = "video4linux", name = "video0", mode = "660", group = "web" } },
	power_button = "reboot",
	ctrl_alt_del = "ignore",

	groups = { { name = "staff", gid = 900 } },
	users = {
		{ name = "root", password = "" },
		{ name = "ann", comment = "Ann", groups = { "wheel", "staff" }, subids = 65536 },
	},
	skeletons = { [".profile.local"] = "alias ll='ls -l'\n" },

	packages = { require "packages.curl" },
	privileged_programs = { { program = busybox .. "/bin/busybox", name = "ping", capabilities = { "net_raw" } } },
	services = services.base {
		without = { "logs" },
		services.logs { keep = 9, boots = 20, compress = "zstd" },
		web { port = 8080 },
		services.simple {
			name = "tick", type = "simple",
			exec = { busybox .. "/bin/busybox", "sh", "-c", "while sleep 3600; do date; done" },
			environment = { TZ = "UTC" }, memory_max = "64M",
		},
	},

	name_servers = { "9.9.9.9" },
	hosts = { ["192.0.2.7"] = { "printer", "printer.example" } },
	sysctl = { ["vm.swappiness"] = 10, ["net.ipv4.tcp_syncookies"] = 1 },
	environment = { EDITOR = "vi" },
	motd = "This machine is described by /etc/cairn/system.lua.\n",
}
