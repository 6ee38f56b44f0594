-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- cmake and make; the recipe names the seed item "cmake".

return function(flags)
	return {
		unpack = "unpack",
		patch = "apply_patches",
		configure = "cmake_configure " .. flags.configure_flags,
		build = "gnu_build -C /build/obj " .. flags.make_flags,
		install = "gnu_install -C /build/obj " .. flags.make_flags .. " " .. flags.install_flags,
	}
end
