-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- make with a .config: the kernel and what follows its example.  The recipe
-- writes .config in `configure`.

return function(flags)
	return {
		unpack = "unpack",
		patch = "apply_patches",
		build = "gnu_build " .. flags.make_flags,
		install = "gnu_install " .. flags.make_flags .. " " .. flags.install_flags,
	}
end
