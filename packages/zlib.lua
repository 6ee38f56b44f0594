-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "zlib", version = "1.2.13",
	source = origin {
		urls = { "mirror://debian/pool/main/z/zlib/zlib_1.2.13.dfsg.orig.tar.bz2" },
		sha256 = "71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1",
	},
	phases = { configure = [[CC=cc CFLAGS=-O2 ./configure --static --prefix="$out"]] },
	synopsis = "Deflate compression",
	description = "Library of gzip and zip.",
	license = "Zlib",
	home_page = "https://zlib.net/",
}
