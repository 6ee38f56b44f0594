-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The program that sets keys and peers. wireguard-tools' source is not to be had (doc/services.md); this one
-- knows the part of its words that a service needs.

local package = require("packages.build").package

return package {
	name = "wireguard", version = "1.0",
	inputs = { require "packages.libnl", require "packages.linux-headers" },
	phases = {
		configure = "",
		build = "cc -O2 -Wall -Wextra " .. source "wireguard/wg.c"
			.. " -o wg -Wl,--gc-sections $(pkg-config --cflags --libs libnl-genl-3.0)",
		check = [[./wg --help >/dev/null; [ "$(./wg genkey | wc -c)" = 45 ] ]],
		install = [[
			mkdir -p "$out/bin"
			cp wg "$out/bin/"
		]],
	},
	synopsis = "Keys and peers of WireGuard interfaces",
	description = "VPN, private networks: wg.",
	license = "GPL-3.0-or-later",
	home_page = "https://www.wireguard.com/",
}
