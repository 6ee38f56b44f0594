-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libburn", version = "1.5.4",
	source = origin {
		urls = {
			"https://files.libburnia-project.org/releases/libburn-1.5.4.tar.gz",
			"mirror://debian/pool/main/libb/libburn/libburn_1.5.4.orig.tar.gz",
		},
		sha256 = "525059d10759c5cb8148eebc863bb510e311c663603da7bd2d21c46b7cf63b54",
	},
	phases = { finish = [[rm -rf "$out/bin"]] },
	synopsis = "Writing to optical media (for xorriso)",
	license = "GPL-2.0-or-later",
	home_page = "https://www.libburnia-project.org/",
}
