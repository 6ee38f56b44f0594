-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The packages that systems are put together with. They belong to every system's closure, so that a
-- machine can be reconfigured with nothing but what it has.

local tools = {}

local names = {
	cairn = "packages.cairn", busybox = "packages.busybox", e2fsprogs = "packages.e2fsprogs",
	slirp4netns = "packages.slirp4netns",
}

return setmetatable(tools, {
	__index = function(t, name)
		if not names[name] then
			error("there is no system tool '" .. tostring(name) .. "'", 2)
		end
		local package = require(names[name])
		rawset(t, name, package)
		return package
	end,
})
