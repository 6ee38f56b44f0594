-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "mbedtls", version = "2.28.3",
	source = origin {
		urls = { "mirror://debian/pool/main/m/mbedtls/mbedtls_2.28.3.orig.tar.gz" },
		sha256 = "3b4953aa55a681e084d31892d9904cc5328d6b4958ea57b90ae4b4f94ae69a8d",
	},
	phases = {
		configure = "",
		build = [[make -j"$cores" lib CC=cc CFLAGS=-O2]],
		install = [[
			mkdir -p "$out/lib" "$out/include"
			cp library/libmbedtls.a library/libmbedx509.a library/libmbedcrypto.a "$out/lib/"
			cp -R include/mbedtls include/psa "$out/include/"
		]],
	},
	synopsis = "TLS for small programs",
	license = "Apache-2.0 OR GPL-2.0-or-later",
	home_page = "https://www.trustedfirmware.org/projects/mbed-tls/",
}
