-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- ./configure, make, make install.

return function(flags)
	return {
		unpack = "unpack",
		patch = "apply_patches",
		configure = "gnu_configure " .. flags.configure_flags,
		build = "gnu_build " .. flags.make_flags,
		install = "gnu_install " .. flags.make_flags .. " " .. flags.install_flags,
	}
end
