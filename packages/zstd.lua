-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "zstd", version = "1.5.4",
	source = origin {
		urls = { "mirror://debian/pool/main/libz/libzstd/libzstd_1.5.4%2bdfsg2.orig.tar.xz" },
		sha256 = "8cf4bbb65e77ec348d052c8d6230eba66d435bddf64c8b5be2fcb16880c19953",
	},
	phases = {
		configure = "",
		build = [[
			make -j"$cores" -C lib libzstd.a CC=cc
			make -j"$cores" -C programs zstd-release CC=cc HAVE_ZLIB=0 HAVE_LZMA=0 HAVE_LZ4=0 HAVE_THREAD=1
		]],
		install = [[
			make -C lib install-static install-includes install-pc CC=cc PREFIX="$out"
			mkdir -p "$out/bin"
			install -m 755 programs/zstd "$out/bin/zstd"
		]],
	},
	synopsis = "Fast compression",
	description = "Compressor: zstd.",
	license = "BSD-3-Clause OR GPL-2.0-only",
	home_page = "https://facebook.github.io/zstd/",
}
