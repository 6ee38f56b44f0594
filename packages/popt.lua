-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "popt", version = "1.19",
	source = origin {
		urls = { "mirror://debian/pool/main/p/popt/popt_1.19+dfsg.orig.tar.xz" },
		sha256 = "4cd0cd2963d0c4078f65949599d97135c15ee6c09cf3a36a9a1b2753025bb06b",
	},
	configure_flags = { "--disable-nls" },
	synopsis = "Options of command lines",
	license = "MIT",
	home_page = "https://github.com/rpm-software-management/popt",
}
