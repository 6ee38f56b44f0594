-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system -> raw disk image (the value of sys_eval_request.apply in image/cmd_image.c).
-- args: free = size of the free space in the root file system.

local generation = require "system.generation"
local grub = require "bootloader.grub"
local tools = require "system.tools"

local ROOT_PARTITION = 2 -- as image/raw.c lays the disk out

local function root_of(os)
	for _, fs in ipairs(os.file_systems) do
		if fs.mount_point == "/" then
			return fs
		end
	end
end

-- What the configuration calls the root file system is what the image must answer to.
local function identity(os)
	local fs = root_of(os)
	if fs.type ~= "ext4" then
		schema.fail(fs, "the root file system of a raw image is ext4", "type")
	end
	local key, value = fs.device:match("^(%u+)=(.*)$")
	if key == "LABEL" then
		if #value > 16 then
			schema.fail(fs, "labels of ext4 have at most 16 bytes", "device")
		end
		return { "--label", value }
	elseif key == "UUID" then
		return { "--label", "cairn-root", "--uuid", value }
	elseif key == "PARTUUID" then
		return { "--label", "cairn-root", "--part-uuid", value }
	elseif key == "PARTLABEL" then
		return { "--label", "cairn-root", "--part-label", value }
	end
	return { "--label", "cairn-root" } -- a path such as /dev/vda2: fine wherever it fits
end

return function(os, args)
	local system = generation.parts(os).system
	local list = {
		"builder", "image-raw",
		"--closure", "closure",
		"--system", system,
		"--mke2fs", tools.e2fsprogs .. "/sbin/mke2fs",
		"--free", args.free or "256M",
	}
	for _, word in ipairs(identity(os)) do
		list[#list + 1] = word
	end
	if os.bootloader.type == "grub" then
		list[#list + 1] = "--boot-code"
		list[#list + 1] = grub.bios(ROOT_PARTITION)
	end
	return {
		image = derivation {
			name = os.host_name .. ".raw",
			builder = tools.cairn .. "/bin/cairn",
			args = list,
			env = { exportReferencesGraph = { "closure", system } },
		},
	}
end
