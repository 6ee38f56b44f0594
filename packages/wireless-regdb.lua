-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Which radio frequencies are allowed where: a table that the kernel reads, no program. It is taken as Debian has it, with
-- the bytes that its authors signed.

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "wireless-regdb", version = "2026.05.30",
	source = origin {
		urls = { "mirror://debian/pool/main/w/wireless-regdb/wireless-regdb_2026.05.30-1~deb12u1_all.deb" },
		sha256 = "3ff60d4ebc84fa4e202ce6359da3816a48ec1ea06b0820fdffda0396f33002c9",
	},
	build_system = "trivial",
	libc = "none",
	phases = {
		unpack = [[
			mkdir -p /build/src
			cd /build/src
			ar p "$src" data.tar.xz | xz -dc | tar -xf -
		]],
		check = "[ \"$(head -c 4 lib/firmware/regulatory.db-upstream)\" = RGDB ]",
		install = [[
			mkdir -p "$out/lib/firmware"
			cp lib/firmware/regulatory.db-upstream "$out/lib/firmware/regulatory.db"
			cp lib/firmware/regulatory.db.p7s-upstream "$out/lib/firmware/regulatory.db.p7s"
		]],
	},
	synopsis = "Radio frequencies and powers that are allowed, by country",
	description = "Wi-Fi: the table regulatory.db for the kernel, as firmware.",
	license = "ISC",
	home_page = "https://wireless.wiki.kernel.org/en/developers/regulatory/wireless-regdb",
}
