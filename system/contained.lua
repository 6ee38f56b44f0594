-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A system as a container can run it: the host's kernel runs it, and file systems and swap are the host's to give.

local mapped_devices = require "system.mapped_devices"
local tree = require "system.tree"

-- Services for what a container has not: terminals, network cards.
local ABSENT = { getty = true, dhcp = true, wifi = true }

-- A generation has these files all the same; by its name one is known that has no kernel (system/whole.c).
local function no_kernel()
	return tree.derivation("no-kernel", { tree.file("bzImage", ""), tree.dir("lib/modules") })
end

-- without: more types of services that are left out, { NAME = true }.
return function(os, without)
	local root, services = {}, {}
	os = mapped_devices.without(os)
	for _, fs in ipairs(os.file_systems) do
		if fs.mount_point == "/" then
			root[1] = fs
		end
	end
	for _, s in ipairs(os.services) do
		local name = schema.name(s)
		if not ABSENT[name] and not (without and without[name]) then
			-- What the kernel says where is the host's to say.
			services[#services + 1] = name == "logs" and s:with { console_level = 0 } or s
		end
	end
	return os:with {
		file_systems = root, swap = {}, services = services, kernel = no_kernel(),
		initrd_modules = {}, kernel_modules = {}, kernel_loadable_modules = {}, initrd_rescue = false,
	}
end
