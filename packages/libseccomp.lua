-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libseccomp", version = "2.5.4",
	source = origin {
		urls = {
			"https://github.com/seccomp/libseccomp/releases/download/v2.5.4/libseccomp-2.5.4.tar.gz",
			"mirror://debian/pool/main/libs/libseccomp/libseccomp_2.5.4.orig.tar.gz",
		},
		sha256 = "d82902400405cf0068574ef3dc1fe5f5926207543ba1ae6f8e7a1576351dcbdb",
	},
	configure_flags = { "--disable-python" },
	-- Its one program only looks up system call numbers.
	phases = { finish = [[rm -rf "$out/bin"]] },
	synopsis = "System call filters",
	license = "LGPL-2.1-only",
	home_page = "https://github.com/seccomp/libseccomp",
}
