-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "libnl", version = "3.7.0",
	source = origin {
		urls = { "mirror://debian/pool/main/libn/libnl3/libnl3_3.7.0.orig.tar.gz" },
		sha256 = "9fe43ccbeeea72c653bdcf8c93332583135cda46a79507bfd0a483bb57f65939",
	},
	inputs = { require "packages.linux-headers" },
	configure_flags = { "--disable-cli", "--disable-debug" },
	phases = {
		finish = [[rm -rf "$out/etc"]], -- names of traffic classes, for programs that are not built
	},
	synopsis = "Netlink, the kernel's interface to networks",
	license = "LGPL-2.1-only",
	home_page = "https://www.infradead.org/~tgr/libnl/",
}
