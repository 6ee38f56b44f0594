-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "lz4", version = "1.9.4",
	source = origin {
		urls = {
			"https://github.com/lz4/lz4/archive/refs/tags/v1.9.4.tar.gz",
			"mirror://debian/pool/main/l/lz4/lz4_1.9.4.orig.tar.gz",
		},
		sha256 = "0b0e3aa07c8c063ddf40b082bdf7e37a1562bda40a0ff5272957f3e987e0e54b",
	},
	build_system = "cmake",
	seed = { "cmake" },
	configure_flags = { "-DLZ4_BUILD_CLI=ON", "-DLZ4_BUILD_LEGACY_LZ4C=OFF", "-DBUILD_STATIC_LIBS=ON" },
	phases = { patch = "cmake_source=build/cmake" },
	synopsis = "Very fast compression",
	description = "Compressor: lz4, unlz4.",
	license = "BSD-2-Clause AND GPL-2.0-or-later",
	home_page = "https://lz4.org/",
}
