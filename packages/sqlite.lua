-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "sqlite", version = "3.46.1",
	source = origin {
		urls = { "mirror://debian/pool/main/s/sqlite3/sqlite3_3.46.1.orig.tar.xz" },
		sha256 = "d0cdd2ece271b29e7ce18095745d892517ee26d0f270065b3a25c2e9eb11639c",
	},
	-- The canonical tree makes the one big C file with a Tcl script.
	seed = { "tcl" },
	configure_flags = {
		"--disable-tcl", "--disable-readline", "--disable-load-extension", "--disable-math",
		"BUILD_CC=/usr/bin/gcc",
	},
	make_flags = { "BCC=/usr/bin/gcc" },
	synopsis = "SQL database in a file",
	description = "Database without a server: sqlite3.",
	license = "blessing",
	home_page = "https://www.sqlite.org/",
}
