-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system -> container image (the value of sys_eval_request.apply in image/cmd_image.c).
-- args: name = NAME:TAG; left out, the host name in small letters and latest.

local pack = require "image.pack"
local tree = require "system.tree"

-- Services for what a container has not: terminals, network cards.
local ABSENT = { getty = true, dhcp = true }

-- The host's kernel runs it. A generation has these files all the same.
local function no_kernel()
	return tree.derivation("no-kernel", { tree.file("bzImage", ""), tree.dir("lib/modules") })
end

-- The system as a container can run it: file systems and swap are the host's to give.
local function contained(os)
	local root, services = {}, {}
	for _, fs in ipairs(os.file_systems) do
		if fs.mount_point == "/" then
			root[1] = fs
		end
	end
	for _, s in ipairs(os.services) do
		if not ABSENT[schema.name(s)] then
			-- What the kernel says where is the host's to say.
			services[#services + 1] = schema.name(s) == "logs" and s:with { console_level = 0 } or s
		end
	end
	return os:with {
		file_systems = root, swap = {}, services = services, kernel = no_kernel(),
		initrd_modules = {}, kernel_modules = {}, initrd_rescue = false,
	}
end

-- Names of container images have no capitals, and end in a letter or digit.
local function usual_name(os)
	return os.host_name:lower():gsub("%-+$", "") .. ":latest"
end

return function(value, args)
	local os = pack.operating_system(value)
	return pack.image(contained(os), os.host_name .. ".docker.tar", "image-docker", "--name",
		args.name or usual_name(os))
end
