-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "musl", version = "1.2.3",
	source = origin {
		urls = {
			"https://musl.libc.org/releases/musl-1.2.3.tar.gz",
			"mirror://debian/pool/main/m/musl/musl_1.2.3.orig.tar.gz",
		},
		sha256 = "7d5b0b6062521e4627e099e4c9dc8248d32a30285e959b7eecaa780cf8cfd4a4",
	},
	libc = "none",
	phases = {
		configure = [[
			./configure --prefix="$out" --disable-shared --enable-wrapper=gcc \
				CC=/usr/bin/gcc CFLAGS="-O2 -fno-pie"
		]],
		-- The compiler is not ours yet; packages use its specs file alone.
		finish = [[rm -r "$out/bin"]],
	},
	synopsis = "C library, for static programs",
	license = "MIT",
	home_page = "https://musl.libc.org/",
}
