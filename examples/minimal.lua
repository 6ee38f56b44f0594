-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The smallest machine that is one: boots, lets root in on the screen and the serial line, gets an
-- address, and can build and reconfigure itself. Copied into the machine as /etc/cairn/system.lua.

local services = require "services"
local system = require "system"

return system.operating_system {
	host_name = "cairn",
	timezone = "UTC",

	kernel_arguments = { "console=tty0", "console=ttyS0,115200", "panic=10", "quiet" },

	file_systems = {
		{ device = "LABEL=cairn-root", mount_point = "/", type = "ext4" },
		{ mount_point = "/tmp", type = "tmpfs", options = { "nosuid", "nodev", "mode=1777" } },
	},

	users = {
		-- No password: anyone at the console is root. Put the output of crypt(3) here for a real one.
		{ name = "root", password = "" },
	},

	packages = {},
	services = services.base {},

	bootloader = { type = "grub", timeout = 1, serial = true },
}
