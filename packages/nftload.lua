-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What services.firewall puts its rules into the kernel with. The usual program, nft, is not to be had: the sources of it and
-- of its libraries are not in the archives that packages are built from (doc/services.md).

local package = require("packages.build").package

return package {
	name = "nftload", version = "1.0",
	inputs = { require "packages.libnl", require "packages.linux-headers" },
	phases = {
		configure = "",
		build = "cc -O2 -Wall -Wextra " .. source "nftload/nftload.c"
			.. " -o nftload -Wl,--gc-sections $(pkg-config --cflags --libs libnl-3.0)",
		check = [[./nftload --help >/dev/null]],
		install = [[
			mkdir -p "$out/sbin"
			cp nftload "$out/sbin/"
		]],
	},
	synopsis = "Rules for the kernel's packet filter, all or none",
	description = "Firewall: loads a table of nftables.",
	license = "GPL-3.0-or-later",
}
