-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system or image -> directory with a kernel, an initramfs that holds the whole system, and the
-- command line (the value of sys_eval_request.apply in image/cmd_image.c). Its root is read-only with memory
-- above it, whatever file_systems says of "/".

local mapped_devices = require "system.mapped_devices"
local pack = require "image.pack"

return function(value)
	local os = pack.operating_system(value)
	mapped_devices.check_image(os)
	return pack.image(os, os.host_name .. ".initramfs", "image-initramfs",
		"--mksquashfs", require "packages.squashfs-tools" .. "/bin/mksquashfs")
end
