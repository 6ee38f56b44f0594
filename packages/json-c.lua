-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "json-c", version = "0.16",
	source = origin {
		urls = { "mirror://debian/pool/main/j/json-c/json-c_0.16.orig.tar.gz" },
		sha256 = "3ecaeedffd99a60b1262819f9e60d7d983844073abc74e495cb822b251904185",
	},
	build_system = "cmake",
	seed = { "cmake" },
	configure_flags = { "-DBUILD_STATIC_LIBS=ON", "-DBUILD_TESTING=OFF", "-DBUILD_APPS=OFF", "-DDISABLE_WERROR=ON" },
	synopsis = "JSON in C",
	license = "MIT",
	home_page = "https://github.com/json-c/json-c",
}
