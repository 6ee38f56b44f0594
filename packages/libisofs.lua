-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libisofs", version = "1.5.4",
	source = origin {
		urls = {
			"https://files.libburnia-project.org/releases/libisofs-1.5.4.tar.gz",
			"mirror://debian/pool/main/libi/libisofs/libisofs_1.5.4.orig.tar.gz",
		},
		sha256 = "aaa0ed80a7501979316f505b0b017f29cba0ea5463b751143bad2c360215a88e",
	},
	inputs = { require "packages.zlib" },
	configure_flags = { "--disable-libacl", "--disable-xattr" },
	synopsis = "ISO 9660 file systems (for xorriso)",
	license = "GPL-2.0-or-later",
	home_page = "https://www.libburnia-project.org/",
}
