-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system -> container image (the value of sys_eval_request.apply in image/cmd_image.c).
-- args: name = NAME:TAG; left out, the host name in small letters and latest.

local contained = require "system.contained"
local pack = require "image.pack"

-- Names of container images have no capitals, and end in a letter or digit.
local function usual_name(os)
	return os.host_name:lower():gsub("%-+$", "") .. ":latest"
end

return function(value, args)
	local os = pack.operating_system(value)
	-- Who runs it says no to namespaces, unless told otherwise; it is shut in as a whole.
	if os.service_namespaces == nil then
		os = os:with { service_namespaces = false }
	end
	return pack.image(contained(os), os.host_name .. ".docker.tar", "image-docker", "--name",
		args.name or usual_name(os))
end
