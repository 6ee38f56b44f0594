-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "xz", version = "5.4.1",
	source = origin {
		urls = { "mirror://debian/pool/main/x/xz-utils/xz-utils_5.4.1.orig.tar.xz" },
		sha256 = "5d9827aa1875b21c288f78864bb26d2650b436ea8d2cad364e4921eb6266a5a5",
	},
	configure_flags = { "--disable-doc", "--disable-scripts", "--disable-nls" },
	synopsis = "LZMA compression",
	description = "Compressor: xz, unxz, lzma.",
	license = "0BSD AND LGPL-2.1-or-later",
	home_page = "https://tukaani.org/xz/",
}
