-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "iw", version = "5.19",
	source = origin {
		urls = {
			"https://www.kernel.org/pub/software/network/iw/iw-5.19.tar.xz",
			"mirror://debian/pool/main/i/iw/iw_5.19.orig.tar.xz",
		},
		sha256 = "f167bbe947dd53bb9ebc0c1dcef5db6ad73ac1d6084f2c6f9376c5c360cc4d4e",
	},
	inputs = { require "packages.libnl", require "packages.linux-headers" },
	phases = {
		configure = "",
		build = [[make -j"$cores" CC=cc CFLAGS=-O2 V=1 iw]],
		check = [[./iw --version]],
		install = [[
			mkdir -p "$out/sbin"
			cp iw "$out/sbin/"
		]],
	},
	synopsis = "Wireless cards: what they are, see and do",
	description = "Wi-Fi: shows and sets wireless cards and interfaces, scans for networks.",
	license = "ISC",
	home_page = "https://wireless.wiki.kernel.org/en/users/documentation/iw",
}
