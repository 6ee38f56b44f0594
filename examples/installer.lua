-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The installation medium: make iso. Starts from CD or USB stick to the text installer, on the screen
-- and on the serial line, and installs from its own store.

local services = require "services"
local system = require "system"

return system.operating_system {
	host_name = "cairn-installer",
	label = "Install Cairn",

	kernel_arguments = { "console=tty0", "console=ttyS0,115200", "panic=10", "quiet" },

	file_systems = {
		-- An ISO image has a root of its own: read-only, with memory above it.
		{ device = "LABEL=cairn-root", mount_point = "/", type = "ext4" },
		{ mount_point = "/tmp", type = "tmpfs", options = { "nosuid", "nodev", "mode=1777" } },
	},

	users = { { name = "root", password = "" } },

	services = services.base {
		without = { "getty" },
		services.installer {},
	},

	bootloader = { type = "grub", timeout = 3, serial = true },
}
