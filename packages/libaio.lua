-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libaio", version = "0.3.113",
	source = origin {
		urls = { "mirror://debian/pool/main/liba/libaio/libaio_0.3.113.orig.tar.gz" },
		sha256 = "2c44d1c5fd0d43752287c9ae1eb9c023f04ef848ea8d4aafa46e9aedb678200b",
	},
	phases = {
		configure = "",
		build = "make -C src CC=cc ENABLE_SHARED=0",
		install = [[make -C src install CC=cc ENABLE_SHARED=0 prefix="$out"]],
	},
	synopsis = "Asynchronous reads and writes of Linux",
	license = "LGPL-2.1-or-later",
	home_page = "https://pagure.io/libaio",
}
