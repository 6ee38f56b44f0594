-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "lua", version = "5.4.4",
	source = origin {
		urls = {
			"https://www.lua.org/ftp/lua-5.4.4.tar.gz",
			"mirror://debian/pool/main/l/lua5.4/lua5.4_5.4.4.orig.tar.gz",
		},
		sha256 = "164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61",
	},
	phases = {
		configure = "",
		build = [[make -j"$cores" posix CC=cc]],
		install = [[
			make install INSTALL_TOP="$out"
			mkdir -p "$out/lib/pkgconfig"
			cat >"$out/lib/pkgconfig/lua5.4.pc" <<-END
				prefix=$out
				Name: Lua
				Description: The language Lua, version 5.4
				Version: 5.4.4
				Libs: -L$out/lib -llua -lm
				Cflags: -I$out/include
			END
			cp "$out/lib/pkgconfig/lua5.4.pc" "$out/lib/pkgconfig/lua.pc"
		]],
	},
	synopsis = "Small language for configurations",
	description = "Scripting language: interpreter lua, compiler luac.",
	license = "MIT",
	home_page = "https://www.lua.org/",
}
