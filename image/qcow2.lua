-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system -> disk image as qcow2 (the value of sys_eval_request.apply in image/cmd_image.c): the raw
-- image, written anew. args: those of image.raw.

local raw = require "image.raw"
local tools = require "system.tools"

return function(value, args)
	local disk = raw(value, args).image
	return {
		image = derivation {
			name = disk.name:gsub("%.raw$", "") .. ".qcow2",
			builder = tools.cairn .. "/bin/cairn",
			args = { "builder", "image-qcow2", "--input", disk },
		},
	}
end
