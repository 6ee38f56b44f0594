-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system -> tar file of its root (the value of sys_eval_request.apply in image/cmd_image.c).

local pack = require "image.pack"

return function(value)
	local os = pack.operating_system(value)
	return pack.image(os, os.host_name .. ".tar.gz", "image-tarball")
end
