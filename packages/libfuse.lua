-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libfuse", version = "3.14.0",
	source = origin {
		urls = {
			"https://github.com/libfuse/libfuse/releases/download/fuse-3.14.0/fuse-3.14.0.tar.xz",
			"mirror://debian/pool/main/f/fuse3/fuse3_3.14.0.orig.tar.xz",
		},
		sha256 = "96115b2a8ff34bd1e0c7b00c5dfd8297571d7e165042b94498c9a26356a9a70a",
	},
	build_system = "meson",
	seed = { "python", "meson" },
	configure_flags = { "-Dexamples=false", "-Dutils=false", "-Dtests=false", "-Dudevrulesdir=/nowhere", "-Duseroot=false" },
	synopsis = "File systems in programs",
	license = "LGPL-2.1-only",
	home_page = "https://github.com/libfuse/libfuse",
}
