-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system or image -> ISO 9660 image for CD and USB stick (the value of sys_eval_request.apply in
-- image/cmd_image.c). Its root is read-only with memory above it, whatever file_systems says of "/".

local generation = require "system.generation"
local grub = require "bootloader.grub"
local image = require "image"
local mapped_devices = require "system.mapped_devices"
local tools = require "system.tools"

-- What volume names may hold: "Stone-2" becomes "STONE_2".
local function volume(name)
	return (name:upper():gsub("[^A-Z0-9_]", "_"):sub(1, 32))
end

return function(value, args)
	local system = generation.parts(value).system
	local os = schema.is(value, image.image) and value.operating_system or value
	mapped_devices.check_image(os)
	if os.bootloader.type ~= "grub" then
		schema.fail(os, "an ISO image is started by GRUB", "bootloader")
	end
	return {
		image = derivation {
			name = os.host_name .. ".iso",
			builder = tools.cairn .. "/bin/cairn",
			args = {
				"builder", "image-iso",
				"--closure", "closure",
				"--system", system,
				"--label", volume(args.label or os.host_name),
				"--bios-code", grub.iso_bios(),
				"--efi", grub.iso_efi(),
				"--xorriso", require "packages.xorriso" .. "/bin/xorriso",
				"--mksquashfs", require "packages.squashfs-tools" .. "/bin/mksquashfs",
				"--mkfs-fat", require "packages.dosfstools" .. "/sbin/mkfs.fat",
				"--mtools", require "packages.mtools" .. "/bin/mtools",
			},
			env = { exportReferencesGraph = { "closure", system } },
		},
	}
end
