-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "xorriso", version = "1.5.4",
	source = origin {
		urls = {
			"https://files.libburnia-project.org/releases/libisoburn-1.5.4.tar.gz",
			"mirror://debian/pool/main/libi/libisoburn/libisoburn_1.5.4.orig.tar.gz",
		},
		sha256 = "2d89846d43880f17fa591c53b3bea42ffb803628e4e630c680fc2c9184f79132",
	},
	inputs = { require "packages.libburn", require "packages.libisofs", require "packages.zlib" },
	configure_flags = {
		"--disable-libreadline", "--disable-libjte", "--disable-external-filters", "--disable-external-filters-setuid",
		"--disable-launch-frontend", "--disable-libcdio",
	},
	-- A libtool program is static only when it is told so in its own words.
	make_flags = { "LDFLAGS=-all-static" },
	phases = {
		finish = [[
			rm -rf "$out/lib" "$out/include" "$out/share"
			rm -f "$out"/bin/xorriso-dd-target "$out"/bin/xorriso-tcltk "$out"/bin/xorrecord "$out"/bin/osirrox \
				"$out"/bin/xorrisofs
		]],
	},
	synopsis = "Making and reading ISO 9660 images",
	description = "CD, DVD and bootable ISO images.",
	license = "GPL-3.0-or-later",
	home_page = "https://www.gnu.org/software/xorriso/",
}
