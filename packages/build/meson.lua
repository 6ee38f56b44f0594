-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- meson and ninja; the recipe names the seed items "python" and "meson".

return function(flags)
	return {
		unpack = "unpack",
		patch = "apply_patches",
		configure = "meson_configure " .. flags.configure_flags,
		build = 'ninja -C /build/obj -j "$cores" ' .. flags.make_flags,
		install = "ninja -C /build/obj install " .. flags.install_flags,
	}
end
